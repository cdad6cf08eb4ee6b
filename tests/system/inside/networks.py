# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Three unmodified Debian guests on a network that touches no NIC of the host. They run a shell as their first process,
# from one disk that they share and only read: what is tried here is the network, not the boot.

import json
import os
import pathlib
import signal
import subprocess
import time

from domain import JOB, processes, write_xml
from harness import Console, Failed, check, equal, note, run, suite, vmctl, vmctl_fails, wait_until

NAMES = ("net1", "net2", "net3")
BOOT_S = 240

guests = {}


def mac_of(name):
    return f"52:54:00:00:09:0{name[-1]}"


def address_of(name):
    return f"10.9.0.{name[-1]}"


def interface(name):
    return (f"<interface type='network'><mac address='{mac_of(name)}'/><source network='red'/>"
            f"<model type='virtio'/></interface>\n  </devices>")


def network_workers():
    """Process ids of the workers that are networks: their name says so."""
    def is_network(pid):
        try:
            return b"net:" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    return [pid for pid in processes("vmmd-worker") if is_network(pid)]


def nic_counters():
    """What the host's interfaces have sent and received, loopback left out."""
    lines = pathlib.Path("/proc/net/dev").read_text().splitlines()[2:]
    return {line.split(":")[0].strip(): line.split(":")[1].split() for line in lines if not line.strip().startswith("lo:")}


def counters(name):
    """Of the domain's one interface."""
    return json.loads(vmctl("domiflist", name, "--json"))[0]


def ping(source, target, count=3):
    return guests[source].command(f"ping -n -q -c {count} -W 5 {address_of(target)} | tail -n 3", 90)


def boot(name, address=None):
    """Start it and give its interface the address, if any. A boot that hangs is shown and tried once more, never silently."""
    for attempt in (1, 2):
        vmctl("start", name)
        console = Console(name)
        try:
            console.expect("# ", BOOT_S)
            console.command("stty cols 500; PS1='# '; dmesg -n 1")
            console.command("modprobe virtio_net && ip link set lo up", 60)
            equal(console.command("cat /sys/class/net/eth0/address"), mac_of(name), f"MAC address that '{name}' sees")
            if address:
                console.command(f"ip address add {address}/24 dev eth0")
            console.command("ip link set eth0 up")
            return console
        except Failed as e:
            console.close()
            if attempt == 2:
                raise
            note(f"boot of '{name}' failed, trying once more: {e}")
            run("vmctl", "destroy", name)


@suite.case("an isolated network", needs="the default network")
def isolated_network():
    path = JOB / "red.xml"
    path.write_text("<network><name>red</name></network>\n")
    equal(vmctl("net-define", str(path)), f"Network red defined from {path}", "answer to net-define")
    equal(vmctl("net-list"), " Name   State   Autostart   Persistent\n----------------------------------------", "net-list")
    equal(vmctl("net-start", "red"), "Network red started", "answer to net-start")
    equal(vmctl("net-list").splitlines()[2].split(), ["red", "active", "no", "yes"], "row of net-list")
    check("already active" in vmctl_fails("net-start", "red"), "a second net-start")
    workers = network_workers()
    equal(len(workers), 1, "workers of networks")
    status = pathlib.Path(f"/proc/{workers[0]}/status").read_text()
    check("Seccomp:\t2" in status and "CapEff:\t0000000000000000" in status, f"the worker is not confined:\n{status}")


@suite.case("three guests on the isolated network", needs="an isolated network")
def three_guests():
    for name in NAMES:
        vmctl("define", write_xml(name, 1, **{
            "root=/dev/vda rw": "root=/dev/vda ro init=/bin/bash",
            "<target dev='vda' bus='virtio'/>": "<target dev='vda' bus='virtio'/><readonly/><shareable/>",
            "<memory unit='MiB'>512<": "<memory unit='MiB'>256<",
            "</devices>": interface(name)}))
    before = nic_counters()
    for name in NAMES:
        guests[name] = boot(name, address_of(name))
    rows = [line.split() for line in vmctl("net-port-list", "red").splitlines()[2:]]
    equal([row[1] for row in rows], list(NAMES), "domains of net-port-list")
    check(all(row[4] == "linked" for row in rows), f"not linked: {rows}")
    for source, target in (("net1", "net2"), ("net2", "net3"), ("net3", "net1")):
        check(" 0% packet loss" in ping(source, target), f"{source} does not reach {target}")
    check(mac_of("net2") in guests["net1"].command(f"ip neigh show {address_of('net2')}"), "net1 sees another MAC address")
    equal(nic_counters(), before, "counters of the host's NICs")


def listen(name, port):
    guests[name].command(f"{{ nc -l -p {port} </dev/null | sha256sum >/dev/shm/sum; }} 2>/dev/null & sleep 1")


@suite.case("TCP between guests, with nothing on the host's NICs", needs="three guests on the isolated network")
def tcp():
    before = nic_counters()
    guests["net2"].command("mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm")
    guests["net1"].command("mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm")
    guests["net1"].command("head -c 8000000 /dev/urandom >/dev/shm/data", 60)
    want = guests["net1"].command("sha256sum </dev/shm/data")
    listen("net2", 7000)
    # Many frames at once, on a host of any speed: the pair is worth a link of its own.
    guests["net1"].command(f"ping -n -q -f -l 200 -c 2000 -W 5 {address_of('net2')} | tail -n 3", 120)
    guests["net1"].command(f"nc -N {address_of('net2')} 7000 </dev/shm/data", 120)
    wait_until("the receiver has all of it",
               lambda: guests["net2"].command("cat /dev/shm/sum") == want, 60, 1)
    equal(nic_counters(), before, "counters of the host's NICs")
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


@suite.case("frames are captured", needs="three guests on the isolated network")
def captured():
    target = vmctl("domiflist", "net1").splitlines()[2].split()[0]
    # Two of the four frames that match: the workers' filters of system calls let it begin, send and end.
    running = capture("capture", "net1", target, "icmp", "--direction", "out", "--count", "2")
    next(running)
    ping("net1", "net2", 4)
    report, content = next(running)
    equal((report["frames"], report["ended"]), (2, "count"), "frames that were captured, and why it ended")
    equal(content[:4], b"\x0a\x0d\x0d\x0a", "the file's first bytes: a section header of pcapng")
    equal(content.count(bytes.fromhex((mac_of("net2") + mac_of("net1")).replace(":", "") + "0800")), 2,
          "Ethernet headers in the file")
    running = capture("net-capture", "red", "arp", "--count", "1")
    next(running)
    guests["net1"].command("ip neigh flush all; ping -n -q -c 1 -W 5 " + address_of("net3") + " | tail -n 3")
    report, content = next(running)
    equal(report["frames"], 1, "ARP frames that passed the network's worker")
    check(bytes.fromhex("0806") in content, "no ARP in the file")
    check(" 0% packet loss" in ping("net1", "net2"), "no network after captures")


@suite.case("a killed network worker comes back", needs="three guests on the isolated network")
def worker_killed():
    old = network_workers()
    os.kill(old[0], signal.SIGKILL)
    wait_until("another worker is there", lambda: network_workers() not in ([], old), 20)
    wait_until("net1 reaches net3", lambda: " 0% packet loss" in ping("net1", "net3", 1), 60, 0.5)
    equal(vmctl("net-list").splitlines()[2].split()[1], "active", "state of the network")


@suite.case("networks live on while the daemon is killed", needs="three guests on the isolated network")
def daemon_killed():
    old = network_workers()
    run("systemctl", "kill", "-s", "KILL", "vmmd.service")
    check(" 0% packet loss" in ping("net1", "net2"), "no network without the daemon")
    wait_until("the daemon is back", lambda: run("vmctl", "net-list").status == 0, 30, 0.5)
    equal(network_workers(), old, "workers of networks after the daemon's restart")
    equal(len(vmctl("net-port-list", "red").splitlines()), 5, "lines of net-port-list")
    check(" 0% packet loss" in ping("net2", "net3"), "no network after the daemon's restart")


@suite.case("link state of an interface", needs="three guests on the isolated network")
def link_state():
    target = vmctl("domiflist", "net3").splitlines()[2].split()[0]
    vmctl("domif-setlink", "net3", target, "down")
    equal(vmctl("domif-getlink", "net3", target), f"{target} down", "domif-getlink")
    wait_until("the guest sees its link go down",
               lambda: guests["net3"].command("cat /sys/class/net/eth0/carrier") == "0", 20, 0.5)
    check("100% packet loss" in guests["net1"].command(f"ping -n -q -c 1 -W 2 {address_of('net3')} | tail -n 3; true"),
          "frames pass a link that is down")
    vmctl("domif-setlink", "net3", mac_of("net3"), "up")
    wait_until("net1 reaches net3 again", lambda: " 0% packet loss" in guests["net1"].command(
        f"ping -n -q -c 1 -W 2 {address_of('net3')} | tail -n 3; true"), 60, 0.5)


PLUGGED = "52:54:00:00:09:13"


def attached(name):
    return [nic["mac"] for nic in json.loads(vmctl("domiflist", name, "--json"))]


def addresses_in(name):
    return guests[name].command("cat /sys/class/net/*/address").split()


def plug_and_ping():
    """A second card for net3, by which net1 reaches it; asks the guest which name it has."""
    equal(vmctl("attach-interface", "net3", "network", "red", "--model", "virtio", "--mac", PLUGGED),
          "Interface attached successfully", "attach-interface")
    wait_until("the guest sees the card", lambda: PLUGGED in addresses_in("net3"), 60, 0.5)
    name = guests["net3"].command(f"dirname $(grep -l {PLUGGED} /sys/class/net/*/address) | xargs basename")
    guests["net3"].command(f"ip addr add 10.9.1.3/24 dev {name}; ip link set {name} up")
    guests["net1"].command("ip addr replace 10.9.1.1/24 dev eth0")
    wait_until("net1 reaches the card", lambda: " 0% packet loss" in guests["net1"].command(
        "ping -n -q -c 1 -W 2 10.9.1.3 | tail -n 3; true"), 60, 0.5)
    return name


def unplug():
    answer = vmctl("detach-interface", "net3", "network", "--mac", PLUGGED)
    # A slow guest may need longer than the answer waits.
    check(answer in ("Interface detached successfully", "Interface detach request sent successfully"), answer)
    wait_until("the card is gone", lambda: attached("net3") == [mac_of("net3")], 60, 0.5)
    check(PLUGGED not in addresses_in("net3"), "the guest has the card still")
    check(" 0% packet loss" in ping("net1", "net3", 1), "the other card is gone too")


@suite.case("an interface comes and goes while the guest runs", needs="three guests on the isolated network")
def hotplug():
    name = plug_and_ping()
    equal(attached("net3"), [mac_of("net3"), PLUGGED], "interfaces of net3")
    check("<alias name='net1'/>" in vmctl("dumpxml", "net3"), "the alias of the second interface")
    check(PLUGGED not in vmctl("dumpxml", "net3", "--inactive"), "the definition has it")
    vmctl("domif-setlink", "net3", PLUGGED, "down")
    wait_until("the guest sees its link go down",
               lambda: guests["net3"].command(f"cat /sys/class/net/{name}/carrier") == "0", 20, 0.5)
    vmctl("domif-setlink", "net3", PLUGGED, "up")
    unplug()
    # Again, with another daemon in between.
    plug_and_ping()
    run("systemctl", "kill", "-s", "KILL", "vmmd.service")
    wait_until("the daemon is back", lambda: run("vmctl", "net-list").status == 0, 30, 0.5)
    check(" 0% packet loss" in guests["net1"].command("ping -n -q -c 1 -W 5 10.9.1.3 | tail -n 3"),
          "the card is silent after the daemon's restart")
    equal(attached("net3"), [mac_of("net3"), PLUGGED], "interfaces of net3 after the daemon's restart")
    unplug()
    check("No interface with MAC address" in vmctl_fails("detach-interface", "net3", "network", "--mac", PLUGGED),
          "an interface that is gone")


@suite.case("refusals around networks", needs="an isolated network")
def net_refusals():
    check("no network with matching name 'blue'" in vmctl_fails("net-start", "blue"), "an unknown network")
    path = write_xml("net9", 1, **{"</devices>": interface("net1")})
    vmctl("define", path)
    if guests:
        check("in use on network 'red' by domain 'net1'" in vmctl_fails("start", "net9"), "a MAC address twice")
    vmctl("undefine", "net9")
    path = write_xml("net9", 1, **{"</devices>": interface("net1").replace("'red'", "'blue'")})
    vmctl("define", path)
    check("no network with matching name 'blue'" in vmctl_fails("start", "net9"), "a domain on an unknown network")
    vmctl("undefine", "net9")
    check("XML error" in vmctl_fails("net-define", "/dev/null"), "an empty definition")


@suite.case("networks end", needs="an isolated network")
def networks_end():
    for name in NAMES:
        if name in guests:
            guests.pop(name).close()
        run("vmctl", "destroy", name)
        run("vmctl", "undefine", name)
    equal(vmctl("net-destroy", "red"), "Network red destroyed", "answer to net-destroy")
    equal(vmctl("net-undefine", "red"), "Network red has been undefined", "answer to net-undefine")
    end = time.monotonic() + 10
    while network_workers() and time.monotonic() < end:
        time.sleep(0.1)
    equal(network_workers(), [], "workers of networks at the end")


GREEN = """<network>
  <name>green</name>
  <forward mode='nat'/>
  <domain name='green.test'/>
  <ip address='10.8.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.8.0.100' end='10.8.0.120'/></dhcp>
  </ip>
</network>
"""
OUTSIDE = "192.0.2.1"


def host_network():
    """What a network must not change on its host."""
    commands = (("ip", "-br", "address"), ("ip", "route"), ("nft", "list", "ruleset"),
                ("cat", "/proc/sys/net/ipv4/ip_forward"))
    return [run(*command).out for command in commands]


@suite.case("a network with NAT and DHCP", needs="the default network")
def nat():
    run("ip", "link", "add", "outside", "type", "dummy")
    run("ip", "address", "add", f"{OUTSIDE}/24", "dev", "outside")
    run("ip", "link", "set", "outside", "up")
    before = host_network()
    path = JOB / "green.xml"
    path.write_text(GREEN)
    vmctl("net-define", str(path))
    equal(vmctl("net-start", "green"), "Network green started", "answer to net-start")
    equal(host_network(), before, "addresses, routes, rules and forwarding of the host")
    for program in ("dnsmasq", "slirp4netns"):
        wait_until(f"{program} runs", lambda name=program: processes(name), 30, 0.2)


@suite.case("a guest gets an address and a way out", needs="a network with NAT and DHCP")
def nat_guest():
    vmctl("define", write_xml("nat1", 1, **{
        "root=/dev/vda rw": "root=/dev/vda ro init=/bin/bash",
        "<target dev='vda' bus='virtio'/>": "<target dev='vda' bus='virtio'/><readonly/><shareable/>",
        "<memory unit='MiB'>512<": "<memory unit='MiB'>256<",
        "</devices>": interface("net1").replace("'red'", "'green'")}))
    console = guests["nat1"] = boot("nat1")
    console.command("modprobe af_packet || true", 60)
    events = subprocess.Popen(["vmctl", "--json", "net-event", "green", "--event", "lease", "--timeout", "100"],
                              stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    console.command("udhcpc -i eth0 -n -q -t 10 2>&1 | tail -n 4", 90)
    address = console.command("ip -4 -br address show eth0").split()[2].split("/")[0]
    check(address.startswith("10.8.0.1"), f"the guest has {address}")
    lease = json.loads(events.communicate(timeout=110)[0])
    equal((lease["detail"], lease["fields"]["ip"], lease["fields"]["mac"]), ("Assigned", address, mac_of("net1")),
          "the lease's event")
    row = vmctl("net-dhcp-leases", "green").splitlines()[2]
    check(mac_of("net1") in row and f"{address}/24" in row, f"net-dhcp-leases says {row}")
    check(address in vmctl("domifaddr", "nat1"), "domifaddr does not say so")
    # Out: to an address of the host, which the guest has no other way to.
    server = subprocess.Popen(["socat", "-u", "OPEN:/etc/machine-id", f"TCP-LISTEN:8000,bind={OUTSIDE},reuseaddr"])
    time.sleep(1)
    equal(console.command(f"nc -d -w 20 {OUTSIDE} 8000", 60), pathlib.Path("/etc/machine-id").read_text().strip(),
          "what comes back through NAT")
    server.wait(30)


@suite.case("a gateway outlives the daemon and its own programs", needs="a guest gets an address and a way out")
def nat_kept():
    before = processes("slirp4netns")
    # The daemon alone; the whole control group is killed in gateways.py.
    run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "vmmd.service")
    wait_until("the daemon is back", lambda: run("vmctl", "net-list").status == 0, 30, 0.5)
    equal(processes("slirp4netns"), before, "slirp4netns after the daemon's restart")
    old = processes("dnsmasq")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until("another dnsmasq is there", lambda: set(processes("dnsmasq")) - set(old), 30, 0.5)
    wait_until("the guest gets its address again",
               lambda: "10.8.0.1" in guests["nat1"].command("udhcpc -i eth0 -n -q -t 5 2>&1 | tail -n 4; true", 60), 60)


@suite.case("a gateway ends with its network", needs="a network with NAT and DHCP")
def nat_ends():
    if "nat1" in guests:
        guests.pop("nat1").close()
    run("vmctl", "destroy", "nat1")
    run("vmctl", "undefine", "nat1")
    vmctl("net-destroy", "green")
    for program in ("dnsmasq", "slirp4netns", "pasta"):
        wait_until(f"{program} ended", lambda name=program: not processes(name), 20, 0.2)
    vmctl("net-undefine", "green")
    run("ip", "link", "delete", "outside")
