# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A guest on what the host has itself: one interface in a bridge, one as a macvtap on a NIC, one in a VLAN of a bridge, and one
# that comes while it runs. At the other end of all is a network namespace, which plays the rest of the world.

import hashlib
import os
import pathlib
import subprocess

from domain import write_xml
from guests import guests, hears_nothing, nics, pings, target_of
from harness import check, equal, run, suite, vmctl, vmctl_fails, wait_until
from networks import plug, unplug
from topologies import BRIDGE_MAC, DIRECT_MAC, VLAN_MAC, links

PEER = ("ip", "netns", "exec", "peer")
ON_BRIDGES = ("bridges and NICs of the host's", "guest net2")
MACS = (BRIDGE_MAC, DIRECT_MAC, VLAN_MAC)
DATA = pathlib.Path("/tmp/bridges-data")
PLUGGED = "52:54:00:00:07:13"

# What the taps of the guest are called, by MAC address.
taps = {}


def rows(name):
    """Of domiflist: the line of each MAC address."""
    return {line.split()[-1]: line.split() for line in vmctl("domiflist", name).splitlines()[2:]}


@suite.case("a guest on a bridge, a NIC and a VLAN of the host's", needs=ON_BRIDGES)
def bridged():
    taps.update({mac: target_of("net2", mac) for mac in MACS})
    equal([links().get(taps[mac]) for mac in MACS], ["br7", "", "br6"], f"the bridges that {taps} are in")
    listed = rows("net2")
    equal([listed[mac] for mac in MACS],
          [[taps[BRIDGE_MAC], "bridge", "br7", "virtio", BRIDGE_MAC],
           [taps[DIRECT_MAC], "direct", "nic7", "virtio", DIRECT_MAC],
           [taps[VLAN_MAC], "bridge", "br6", "virtio", VLAN_MAC]], "domiflist")
    check(taps[DIRECT_MAC].startswith("macvtap"), f"the macvtap is called {taps[DIRECT_MAC]}")
    check(f"<target dev='{taps[BRIDGE_MAC]}'/>" in vmctl("dumpxml", "net2"), "the live XML does not name the tap")
    for target in ("10.7.0.2", "10.6.0.2", "10.5.0.2"):
        check(pings("net2", target), f"the guest does not reach {target}")
    # The other VLANs of the bridge are not the guest's.
    run("bridge", "vlan", "add", "dev", "port6", "vid", "43", "pvid", "untagged")
    check(hears_nothing("net2", "10.5.0.2"), "the guest reaches another VLAN")


def listening(port):
    wait_until("the peer listens", lambda: f":{port} " in run(*PEER, "ss", "-ltn").out, 20)


@suite.case("TCP through a bridge and a macvtap", needs=ON_BRIDGES)
def bridged_tcp():
    console = guests["net2"]
    console.command("head -c 4000000 /dev/urandom >/dev/shm/data", 60)
    want = console.command("sha256sum </dev/shm/data").split()[0]
    for port, target in ((7000, "10.7.0.2"), (7001, "10.6.0.2")):
        # Into a file: nobody would empty a pipe while the guest sends.
        server = subprocess.Popen([*PEER, "socat", "-u", f"TCP-LISTEN:{port},reuseaddr", f"OPEN:{DATA},creat,trunc"])
        listening(port)
        console.command(f"nc -N {target} {port} </dev/shm/data", 180)
        equal(server.wait(60), 0, "status of the receiver")
        equal(hashlib.sha256(DATA.read_bytes()).hexdigest(), want, f"what {target} received")
    # And back, more than the guest has buffers for.
    for port, source in ((7002, "10.7.0.2"), (7003, "10.6.0.2")):
        DATA.write_bytes(os.urandom(4000000))
        server = subprocess.Popen([*PEER, "socat", "-u", f"OPEN:{DATA}", f"TCP-LISTEN:{port},reuseaddr"])
        listening(port)
        equal(console.command(f"nc -d {source} {port} | sha256sum", 180).split()[0],
              hashlib.sha256(DATA.read_bytes()).hexdigest(), f"what came from {source}")
        server.wait(30)
    DATA.unlink()
    for mac in (BRIDGE_MAC, DIRECT_MAC):
        interface = nics("net2")[mac]
        check(interface["tx_bytes"] > 4000000 and interface["rx_bytes"] > 4000000, f"counters: {interface}")
        # Offloads crossed in one piece.
        check(interface["tx_bytes"] / interface["tx_packets"] > 1514, f"small frames: {interface}")


@suite.case("link state on a bridge", needs="a guest on a bridge, a NIC and a VLAN of the host's")
def bridged_link():
    tap = taps[BRIDGE_MAC]
    vmctl("domif-setlink", "net2", tap, "down")
    equal(vmctl("domif-getlink", "net2", tap), f"{tap} down", "domif-getlink")
    wait_until("the guest sees its link go down", lambda: guests["net2"].command(
        f"cat $(dirname $(grep -l {BRIDGE_MAC} /sys/class/net/*/address))/carrier") == "0", 20, 0.5)
    peer_ping = (*PEER, "ping", "-n", "-q", "-c", "1", "-W", "2", "10.7.0.9")
    check("100% packet loss" in run(*peer_ping).out, "frames pass a link that is down")
    vmctl("domif-setlink", "net2", tap, "up")
    wait_until("the peer reaches the guest again", lambda: run(*peer_ping).status == 0, 60, 0.5)


@suite.case("an interface on a bridge comes and goes while the guest runs", needs=("bridges and NICs of the host's", "guest net3"))
def bridged_plug():
    before = set(links())
    plug("net3", PLUGGED, "10.7.0.13/24", "attach-interface", "net3", "bridge", "br7", "--model", "virtio", "--mac", PLUGGED,
         "--live")
    tap = target_of("net3", PLUGGED)
    equal(set(links()) - before, {tap}, "interfaces of the host that have come")
    equal(links()[tap], "br7", "the bridge that the new tap is in")
    equal(rows("net3")[PLUGGED], [tap, "bridge", "br7", "virtio", PLUGGED], "domiflist")
    wait_until("the guest reaches the peer", lambda: pings("net3", "10.7.0.2", "-c 1 -W 2"), 30, 0.5)
    unplug("net3", PLUGGED, "bridge")
    wait_until("the tap is gone", lambda: set(links()) == before, 20)


@suite.case("refusals around bridges", needs="bridges and NICs of the host's")
def bridged_refusals():
    interface = "<interface type='bridge'><source bridge='br7'/></interface>\n  </devices>"
    before = set(links())
    for old, new, text in (("bridge='br7'", "bridge='br8'", "the host has no bridge 'br8'"),
                           ("type='bridge'><source bridge='br7'/>", "type='direct'><source dev='nic8' mode='bridge'/>",
                            "the host has no network interface 'nic8'"),
                           ("<source bridge='br7'/>", "<source bridge='br7'/><vlan><tag id='4'/></vlan>",
                            "the bridge 'br7' does not filter VLANs"),
                           ("<source bridge='br7'/>", "<source bridge='br7'/><target dev='br7'/>",
                            "the host has an interface 'br7' already")):
        vmctl("define", write_xml("br9", 1, **{"</devices>": interface.replace(old, new)}))
        check(text in vmctl_fails("start", "br9"), text)
        equal(set(links()), before, "interfaces of the host")
        vmctl("undefine", "br9")
    check("ports of Open vSwitch" in vmctl_fails("define", write_xml("br9", 1, **{
        "</devices>": interface.replace("<source bridge='br7'/>", "<source bridge='br7'/><virtualport type='openvswitch'/>")})),
        "a port of Open vSwitch")
