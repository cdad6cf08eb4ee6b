# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Guests on a network that touches no NIC of the host.

import json
import os
import pathlib
import signal
import subprocess
import time

from domain import JOB, write_xml
from guests import device, guests, hears_nothing, nics, pings, target_of
from harness import check, equal, run, suite, vmctl, vmctl_fails, wait_until
from topologies import address_of, mac_of, network_workers

RED = ("an isolated network", "guest net1", "guest net2", "guest net3")


def nic_bytes():
    """What the host's interfaces have received and sent, loopback left out. They have something to say at any time: LACP,
    or what IPv6 asks for."""
    lines = pathlib.Path("/proc/net/dev").read_text().splitlines()[2:]
    counters = [line.split(":")[1].split() for line in lines if not line.strip().startswith("lo:")]
    return sum(int(c[0]) + int(c[8]) for c in counters)


def reaches(source, target, count=2):
    return pings(source, address_of(target), f"-c {count} -W 5")


def counters(name):
    """Of the domain's interface on the isolated network."""
    return nics(name)[mac_of(name)]


@suite.case("guests reach each other", needs=RED)
def guests_on_red():
    rows = [line.split() for line in vmctl("net-port-list", "red").splitlines()[2:]]
    equal([row[1] for row in rows], ["net1", "net2", "net3"], "domains of net-port-list")
    check(all(row[4] == "linked" for row in rows), f"not linked: {rows}")
    for source, target in (("net1", "net2"), ("net2", "net3"), ("net3", "net1")):
        check(reaches(source, target), f"{source} does not reach {target}")
    check(mac_of("net2") in guests["net1"].command(f"ip neigh show {address_of('net2')}"), "net1 sees another MAC address")


@suite.case("TCP between guests, past the host's NICs", needs=RED)
def tcp():
    before = nic_bytes()
    guests["net1"].command("head -c 8000000 /dev/urandom >/dev/shm/data", 60)
    want = guests["net1"].command("sha256sum </dev/shm/data")
    guests["net2"].command("{ nc -l -p 7000 </dev/null | sha256sum >/dev/shm/sum; } 2>/dev/null & sleep 1")
    # Many frames at once, on a host of any speed: the pair is worth a link of its own.
    guests["net1"].command(f"ping -n -q -f -l 200 -c 2000 -W 5 {address_of('net2')} | tail -n 3", 120)
    guests["net1"].command(f"nc -N {address_of('net2')} 7000 </dev/shm/data", 120)
    wait_until("the receiver has all of it", lambda: guests["net2"].command("cat /dev/shm/sum") == want, 60, 0.5)
    check(nic_bytes() - before < 100000, "the host's NICs have carried it")
    sent = counters("net1")
    check(sent["tx_bytes"] > 8000000, f"net1 has sent {sent['tx_bytes']} bytes only")
    check(counters("net2")["rx_bytes"] > 8000000, "net2 has not received that")
    # The pair got a link of its own: the network's worker has not seen all of it.
    seen = next(p for p in json.loads(vmctl("net-port-list", "red", "--json")) if p["domain"] == "net1")
    check(seen["tx_bytes"] < sent["tx_bytes"], "all frames went through the network's worker")
    # Offloads crossed in one piece.
    check(sent["tx_bytes"] / sent["tx_packets"] > 1514, f"frames of net1 are small: {sent}")


def capture(*argv):
    """Of something that happens meanwhile; what vmctl says of it as JSON, and the file's content."""
    path = JOB / "captured.pcapng"
    process = subprocess.Popen(["vmctl", "--json", *argv, "--seconds", "60", "--write", str(path)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    yield process
    out, err = process.communicate(timeout=90)
    check(process.returncode == 0, f"{argv[0]}: {out}{err}")
    yield json.loads(out), path.read_bytes()
    path.unlink()


@suite.case("frames are captured", needs=RED)
def captured():
    # Two of the four frames that match: the workers' filters of system calls let it begin, send and end.
    running = capture("capture", "net1", target_of("net1", mac_of("net1")), "icmp", "--direction", "out", "--count", "2")
    next(running)
    reaches("net1", "net2", 4)
    report, content = next(running)
    equal((report["frames"], report["ended"]), (2, "count"), "frames that were captured, and why it ended")
    equal(content[:4], b"\x0a\x0d\x0d\x0a", "the file's first bytes: a section header of pcapng")
    equal(content.count(bytes.fromhex((mac_of("net2") + mac_of("net1")).replace(":", "") + "0800")), 2,
          "Ethernet headers in the file")
    running = capture("net-capture", "red", "arp", "--count", "1")
    next(running)
    guests["net1"].command(f"ip neigh flush all; ping -n -q -c 1 -W 5 {address_of('net3')} | tail -n 3")
    report, content = next(running)
    equal(report["frames"], 1, "ARP frames that passed the network's worker")
    check(bytes.fromhex("0806") in content, "no ARP in the file")
    check(reaches("net1", "net2"), "no network after captures")


@suite.case("a killed network worker comes back", needs=RED)
def worker_killed():
    old = network_workers()["red"]
    os.kill(old, signal.SIGKILL)
    wait_until("another worker is there", lambda: network_workers().get("red", old) != old, 20)
    wait_until("net1 reaches net3", lambda: reaches("net1", "net3", 1), 60, 0.5)
    row = next(line.split() for line in vmctl("net-list").splitlines()[2:] if line.split()[0] == "red")
    equal(row[1], "active", "state of the network")


@suite.case("link state of an interface", needs=RED)
def link_state():
    target = target_of("net3", mac_of("net3"))
    vmctl("domif-setlink", "net3", target, "down")
    equal(vmctl("domif-getlink", "net3", target), f"{target} down", "domif-getlink")
    wait_until("the guest sees its link go down",
               lambda: guests["net3"].command("cat /sys/class/net/eth0/carrier") == "0", 20, 0.5)
    check(hears_nothing("net1", address_of("net3")), "frames pass a link that is down")
    vmctl("domif-setlink", "net3", mac_of("net3"), "up")
    wait_until("net1 reaches net3 again", lambda: reaches("net1", "net3", 1), 60, 0.5)


PLUGGED = "52:54:00:00:09:13"


def plug(name, mac, address, *words, timeout=60):
    """A new interface for a guest that runs; answers what the guest calls it."""
    equal(vmctl(*words), f"{'Device' if words[0] == 'attach-device' else 'Interface'} attached successfully", words[0])
    wait_until("the guest sees the card", lambda: device(name, mac), timeout, 0.5)
    eth = device(name, mac)
    if address:
        guests[name].command(f"ip address add {address} dev {eth}")
    guests[name].command(f"ip link set {eth} up")
    return eth


def unplug(name, mac, kind="network"):
    before = set(nics(name))
    answer = vmctl("detach-interface", name, kind, "--mac", mac)
    # A slow guest may need longer than the answer waits.
    check(answer in ("Interface detached successfully", "Interface detach request sent successfully"), answer)
    wait_until("the card is gone", lambda: set(nics(name)) == before - {mac}, 60, 0.5)
    check(not device(name, mac), "the guest has the card still")


def plug_and_ping():
    """A second card of net3's on the network, by which net1 reaches it."""
    eth = plug("net3", PLUGGED, "10.9.1.3/24", "attach-interface", "net3", "network", "red", "--model", "virtio", "--mac", PLUGGED)
    guests["net1"].command("ip address replace 10.9.1.1/24 dev eth0")
    wait_until("net1 reaches the card", lambda: pings("net1", "10.9.1.3", "-c 1 -W 2"), 60, 0.5)
    return eth


@suite.case("an interface comes and goes while the guest runs", needs=RED)
def hotplug():
    before = list(nics("net3"))
    eth = plug_and_ping()
    equal(list(nics("net3")), [*before, PLUGGED], "interfaces of net3")
    check(f"<alias name='net{len(before)}'/>" in vmctl("dumpxml", "net3"), "the alias of the new interface")
    check(PLUGGED not in vmctl("dumpxml", "net3", "--inactive"), "the definition has it")
    vmctl("domif-setlink", "net3", PLUGGED, "down")
    wait_until("the guest sees its link go down",
               lambda: guests["net3"].command(f"cat /sys/class/net/{eth}/carrier") == "0", 20, 0.5)
    vmctl("domif-setlink", "net3", PLUGGED, "up")
    unplug("net3", PLUGGED)
    check(reaches("net1", "net3", 1), "the other card is gone too")
    # Again, with another daemon in between.
    plug_and_ping()
    run("systemctl", "kill", "-s", "KILL", "vmmd.service")
    wait_until("the daemon is back", lambda: run("vmctl", "net-list").status == 0, 30, 0.5)
    check(pings("net1", "10.9.1.3", "-c 1 -W 5"), "the card is silent after the daemon's restart")
    equal(list(nics("net3")), [*before, PLUGGED], "interfaces of net3 after the daemon's restart")
    unplug("net3", PLUGGED)
    check(reaches("net1", "net3", 1), "the other card is gone too")
    check("No interface with MAC address" in vmctl_fails("detach-interface", "net3", "network", "--mac", PLUGGED),
          "an interface that is gone")


MIRROR_MAC = "52:54:00:00:09:22"
# Every frame that the interface gets: its Ethernet header as digits, one a line.
SNIFFER = ("socket(S,17,3,0x0300) or die; bind(S,pack(\"SnlSCCa8\",17,3,{index},0,0,0,\"\")) or die; $|=1; "
           "while(defined(recv(S,$b,2000,0))){{print unpack(\"H*\",substr($b,0,14)).\"\\n\"}}")


@suite.case("a mirror's guest sees another's frames", needs=RED)
def mirror():
    console = guests["net2"]
    eth = plug("net2", MIRROR_MAC, None, "attach-interface", "net2", "network", "red", "--model", "virtio", "--mac", MIRROR_MAC)
    index = console.command(f"cat /sys/class/net/{eth}/ifindex")
    console.command(f"ip link set {eth} promisc on; {{ perl -e '{SNIFFER.format(index=index)}' >/dev/shm/seen & }} 2>/dev/null; sleep 1")
    check(reaches("net1", "net3", 3), "net1 does not reach net3 while that is watched")
    check(reaches("net1", "net2", 1), "net1 does not reach the guest that watches")

    def seen(target, source):
        header = (mac_of(target) + mac_of(source)).replace(":", "") + "0800"
        return int(console.command(f"grep -c {header} /dev/shm/seen; true"))

    wait_until("copies of what net3 is given and sends", lambda: seen("net3", "net1") >= 3 and seen("net1", "net3") >= 3, 20, 0.5)
    equal((seen("net3", "net1"), seen("net1", "net3")), (3, 3), "copies, each frame once")
    equal(seen("net2", "net1"), 0, "copies of what others are given")
    # It is no member: what it sends is dropped.
    console.command(f"ip address add 10.9.2.2/24 dev {eth}; ping -n -q -c 1 -W 1 10.9.2.3 >/dev/null; true")
    check(vmctl("domifstat", "net2", MIRROR_MAC, "--reasons").count("tx_drop_isolated") == 1, "what it says is heard")
    console.command("pkill perl; true")
    unplug("net2", MIRROR_MAC)


@suite.case("refusals around networks", needs="an isolated network")
def net_refusals():
    def interface(network):
        return f"<interface type='network'><mac address='{mac_of('net1')}'/><source network='{network}'/></interface>\n  </devices>"

    check("no network with matching name 'pink'" in vmctl_fails("net-start", "pink"), "an unknown network")
    vmctl("define", write_xml("net9", 1, **{"</devices>": interface("red")}))
    if "net1" in guests:
        check("in use on network 'red' by domain 'net1'" in vmctl_fails("start", "net9"), "a MAC address twice")
    vmctl("undefine", "net9")
    vmctl("define", write_xml("net9", 1, **{"</devices>": interface("pink")}))
    check("no network with matching name 'pink'" in vmctl_fails("start", "net9"), "a domain on an unknown network")
    vmctl("undefine", "net9")
    check("XML error" in vmctl_fails("net-define", "/dev/null"), "an empty definition")
