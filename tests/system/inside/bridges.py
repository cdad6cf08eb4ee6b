# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An unmodified Debian guest on what the host has itself: one interface in a bridge, one as a macvtap on a NIC, one in a VLAN
# of a bridge. At the other end of all is a network namespace, which plays the rest of the world.

import hashlib
import json
import os
import pathlib
import signal
import subprocess

from domain import processes, write_xml
from harness import check, equal, note, run, suite, vmctl, vmctl_fails, wait_until
from networks import boot, guests, mac_of

PEER = ("ip", "netns", "exec", "peer")
DIRECT_MAC = "52:54:00:00:09:a1"
VLAN_MAC = "52:54:00:00:09:b1"
INTERFACES = f"""<interface type='bridge'><mac address='{mac_of("br1")}'/><source bridge='br7'/></interface>
    <interface type='direct'><mac address='{DIRECT_MAC}'/><source dev='nic7' mode='bridge'/></interface>
    <interface type='bridge'><mac address='{VLAN_MAC}'/><source bridge='br6'/><vlan><tag id='42'/></vlan></interface>
  </devices>"""
DATA = pathlib.Path("/tmp/bridges-data")
TARGETS = {"vnet0", "vnet1", "macvtap0"}
TOPOLOGY = """ip netns add peer
ip link add br7 type bridge
ip link set br7 up
ip link add port7 type veth peer name eth0 netns peer
ip link set port7 master br7 up
ip link add nic7 type veth peer name eth1 netns peer
ip link set nic7 up
ip link add br6 type bridge vlan_filtering 1
ip link set br6 up
ip link add port6 type veth peer name eth2 netns peer
ip link set port6 master br6 up
bridge vlan del dev port6 vid 1
bridge vlan add dev port6 vid 42 pvid untagged
ip -n peer address add 10.5.0.2/24 dev eth2
ip -n peer link set eth2 up
ip -n peer address add 10.7.0.2/24 dev eth0
ip -n peer address add 10.6.0.2/24 dev eth1
ip -n peer link set eth0 up
ip -n peer link set eth1 up"""


def links():
    """Names of the host's interfaces, and of the bridge that each is in."""
    return {link["ifname"]: link.get("master", "") for link in json.loads(run("ip", "-json", "link").out)}


def ping(target, count=2):
    return guests["br1"].command(f"ping -n -q -c {count} -W 5 {target} | tail -n 3; true", 90)


def rows():
    return [line.split() for line in vmctl("domiflist", "br1").splitlines()[2:]]


@suite.case("a guest on a bridge and on a NIC of the host's", needs="the default network")
def bridged():
    for line in TOPOLOGY.splitlines():
        result = run(*line.split())
        check(result.status == 0, f"{line}: {result.err}")
    vmctl("define", write_xml("br1", 1, **{
        "root=/dev/vda rw": "root=/dev/vda ro init=/bin/bash",
        "<target dev='vda' bus='virtio'/>": "<target dev='vda' bus='virtio'/><readonly/><shareable/>",
        "<memory unit='MiB'>512<": "<memory unit='MiB'>256<",
        "</devices>": INTERFACES}))
    console = guests["br1"] = boot("br1", "10.7.0.9")
    console.command("ip address add 10.6.0.9/24 dev eth1; ip link set eth1 up")
    console.command("ip address add 10.5.0.9/24 dev eth2; ip link set eth2 up")
    equal(links().get("vnet0"), "br7", "the bridge that vnet0 is in")
    equal(rows(), [["vnet0", "bridge", "br7", "virtio", mac_of("br1")],
                   ["macvtap0", "direct", "nic7", "virtio", DIRECT_MAC],
                   ["vnet1", "bridge", "br6", "virtio", VLAN_MAC]], "domiflist")
    check("<target dev='vnet0'/>" in vmctl("dumpxml", "br1"), "the live XML does not name the tap")
    for target in ("10.7.0.2", "10.6.0.2", "10.5.0.2"):
        check(" 0% packet loss" in ping(target), f"the guest does not reach {target}")
    # The other VLANs of the bridge are not the guest's.
    run("bridge", "vlan", "add", "dev", "port6", "vid", "43", "pvid", "untagged")
    check("100% packet loss" in ping("10.5.0.2", 1), "the guest reaches another VLAN")


def receive(port):
    # Into a file: nobody would empty a pipe while the guest sends.
    return subprocess.Popen([*PEER, "socat", "-u", f"TCP-LISTEN:{port},reuseaddr", f"OPEN:{DATA},creat,trunc"])


@suite.case("TCP through a bridge and a macvtap", needs="a guest on a bridge and on a NIC of the host's")
def bridged_tcp():
    console = guests["br1"]
    console.command("mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm; head -c 4000000 /dev/urandom >/dev/shm/data", 60)
    want = console.command("sha256sum </dev/shm/data").split()[0]
    for port, target in ((7000, "10.7.0.2"), (7001, "10.6.0.2")):
        server = receive(port)
        wait_until("the peer listens", lambda p=port: f":{p} " in run(*PEER, "ss", "-ltn").out, 20)
        console.command(f"nc -N {target} {port} </dev/shm/data", 180)
        equal(server.wait(60), 0, "status of the receiver")
        equal(hashlib.sha256(DATA.read_bytes()).hexdigest(), want, f"what {target} received")
    # And back, more than the guest has buffers for.
    for port, source in ((7002, "10.7.0.2"), (7003, "10.6.0.2")):
        DATA.write_bytes(os.urandom(4000000))
        server = subprocess.Popen([*PEER, "socat", "-u", f"OPEN:{DATA}", f"TCP-LISTEN:{port},reuseaddr"])
        wait_until("the peer listens", lambda p=port: f":{p} " in run(*PEER, "ss", "-ltn").out, 20)
        equal(console.command(f"nc -d {source} {port} | sha256sum", 180).split()[0],
              hashlib.sha256(DATA.read_bytes()).hexdigest(), f"what came from {source}")
        server.wait(30)
    stats = json.loads(vmctl("domiflist", "br1", "--json"))
    for interface in stats[:2]:
        check(interface["tx_bytes"] > 4000000 and interface["rx_bytes"] > 4000000, f"counters: {interface}")
        # Offloads crossed in one piece.
        check(interface["tx_bytes"] / interface["tx_packets"] > 1514, f"small frames: {interface}")


@suite.case("link state on a bridge", needs="a guest on a bridge and on a NIC of the host's")
def bridged_link():
    vmctl("domif-setlink", "br1", "vnet0", "down")
    equal(vmctl("domif-getlink", "br1", "vnet0"), "vnet0 down", "domif-getlink")
    wait_until("the guest sees its link go down",
               lambda: guests["br1"].command("cat /sys/class/net/eth0/carrier") == "0", 20, 0.5)
    peer_ping = (*PEER, "ping", "-n", "-q", "-c", "1", "-W", "2", "10.7.0.9")
    check("100% packet loss" in run(*peer_ping).out, "frames pass a link that is down")
    vmctl("domif-setlink", "br1", "vnet0", "up")
    wait_until("the peer reaches the guest again", lambda: run(*peer_ping).status == 0, 60, 0.5)


@suite.case("taps live on while the daemon is killed", needs="a guest on a bridge and on a NIC of the host's")
def bridged_daemon():
    run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "vmmd.service")
    check(" 0% packet loss" in ping("10.7.0.2"), "no bridge without the daemon")
    wait_until("the daemon is back", lambda: run("vmctl", "list").status == 0, 30, 0.5)
    equal([row[0] for row in rows()], ["vnet0", "macvtap0", "vnet1"], "targets after the daemon's restart")
    check(" 0% packet loss" in ping("10.6.0.2"), "no macvtap after the daemon's restart")


@suite.case("taps end with their domain", needs="a guest on a bridge and on a NIC of the host's")
def bridged_end():
    vmctl("destroy", "br1")
    guests.pop("br1").close()
    check(not TARGETS & set(links()), f"left behind: {links()}")
    # Both die: the tap goes by itself, the macvtap with the next daemon.
    before = processes("vmmd-worker")
    vmctl("start", "br1")
    check(TARGETS <= set(links()), f"not there: {links()}")
    worker = next(pid for pid in processes("vmmd-worker") if pid not in before)
    run("systemctl", "kill", "--kill-whom=main", "-s", "STOP", "vmmd.service")
    os.kill(worker, signal.SIGKILL)
    run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "vmmd.service")
    wait_until("the daemon is back", lambda: run("vmctl", "list").status == 0, 30, 0.5)
    wait_until("nothing is left", lambda: not TARGETS & set(links()), 20)
    equal(vmctl("domstate", "br1"), "shut off", "state")


@suite.case("refusals around bridges", needs="a guest on a bridge and on a NIC of the host's")
def bridged_refusals():
    for old, new, text in (("bridge='br7'", "bridge='br8'", "the host has no bridge 'br8'"),
                           ("dev='nic7'", "dev='nic8'", "the host has no network interface 'nic8'"),
                           ("<source bridge='br7'/>", "<source bridge='br7'/><vlan><tag id='4'/></vlan>",
                            "the bridge 'br7' does not filter VLANs"),
                           ("<source bridge='br7'/>", "<source bridge='br7'/><target dev='br7'/>",
                            "the host has an interface 'br7' already")):
        vmctl("define", write_xml("br9", 1, **{"</devices>": INTERFACES.replace(old, new)}))
        check(text in vmctl_fails("start", "br9"), text)
        check(not TARGETS & set(links()), f"left behind: {links()}")
        vmctl("undefine", "br9")
    check("ports of Open vSwitch" in vmctl_fails("define", write_xml("br9", 1, **{
        "</devices>": INTERFACES.replace("<source bridge='br7'/>", "<source bridge='br7'/><virtualport type='openvswitch'/>")})),
        "a port of Open vSwitch")


@suite.case("bridges are given back", needs="the default network")
def bridged_clean():
    if "br1" in guests:
        guests.pop("br1").close()
    run("vmctl", "destroy", "br1")
    run("vmctl", "undefine", "br1")
    DATA.unlink(missing_ok=True)
    for line in ("ip link delete br7", "ip link delete br6", "ip link delete port6", "ip link delete nic7", "ip link delete port7", "ip netns delete peer"):
        result = run(*line.split())
        note(f"{line}: {result.err.strip()}") if result.status else None
