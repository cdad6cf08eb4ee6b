# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Gateways in the installed service: a guest behind NAT, with its address, its way out and ports of the host that lead to it;
# networks that the host's kernel routes, what is left when the service is killed, and pasta under the AppArmor profile that
# Debian has for it.

import json
import os
import pathlib
import signal
import subprocess
import time

from domain import processes
from guests import guests, pings
from harness import check, equal, note, run, suite, vmctl, wait_until
from networks import reaches
from topologies import GREEN_MAC, OUTSIDE, OUTSIDE6, end_network, host_network, network_workers, start_network

ON_NAT = ("a network with NAT and DHCP", "guest net1")
PROFILE = "/etc/apparmor.d/usr.bin.passt"
GREY = """<network>
  <name>grey</name>
  <forward mode='route'/>
  <bridge name='virbr9'/>
  <ip address='10.7.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.7.0.100' end='10.7.0.120'/></dhcp>
  </ip>
  <route address='10.77.0.0' prefix='16' gateway='10.7.0.9'/>
</network>
"""
WHITE = """<network xmlns:vmmd='urn:vmmd:network:1'>
  <name>white</name>
  <forward mode='nat'/>
  <ip address='10.6.0.1' prefix='24'/>
  <vmmd:forward proto='tcp' port='8022' to='10.6.0.5' toPort='22'/>
  <vmmd:forward proto='udp' port='8053' to='10.6.0.5' toPort='53'/>
</network>
"""

# The guest's address behind NAT, as DHCP gave it.
lease = {}


@suite.case("a guest gets an address and a way out", needs=ON_NAT)
def nat_guest():
    console = guests["net1"]
    events = subprocess.Popen(["vmctl", "--json", "net-event", "green", "--event", "lease", "--timeout", "100"],
                              stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    console.command("udhcpc -i eth1 -n -q -t 10 2>&1 | tail -n 4", 90)
    address = lease["address"] = console.command("ip -4 -br address show eth1").split()[2].split("/")[0]
    check(address.startswith("10.8.0.1"), f"the guest has {address}")
    event = json.loads(events.communicate(timeout=110)[0])
    equal((event["detail"], event["fields"]["ip"], event["fields"]["mac"]), ("Assigned", address, GREEN_MAC), "the lease's event")
    row = vmctl("net-dhcp-leases", "green").splitlines()[2]
    check(GREEN_MAC in row and f"{address}/24" in row, f"net-dhcp-leases says {row}")
    check(address in vmctl("domifaddr", "net1"), "domifaddr does not say so")
    console.command("ip address add fd08::5/64 dev eth1 nodad; ip -6 route replace default via fd08::1")
    # Out: to addresses of the host, which the guest has no other way to.
    for family, outside in (("TCP4", OUTSIDE), ("TCP6", f"[{OUTSIDE6}]")):
        server = subprocess.Popen(["socat", "-u", "OPEN:/etc/machine-id", f"{family}-LISTEN:8000,bind={outside},reuseaddr"])
        wait_until("the server listens", lambda: ":8000 " in run("ss", "-ltn").out, 20)
        equal(console.command(f"nc -d -w 20 {outside.strip('[]')} 8000", 60), pathlib.Path("/etc/machine-id").read_text().strip(),
              f"what comes back through NAT from {outside}")
        server.wait(30)


# Servers of a line each: they answer what they are, and the line.
ECHO_TCP = ('use IO::Socket::IP; $s=IO::Socket::IP->new(LocalHost=>"::",V6Only=>0,LocalPort=>80,Listen=>8,ReuseAddr=>1) or die $@; '
            'while(1){$c=$s->accept or next; $l=<$c>; print $c "tcp $l"; close $c}')
ECHO_UDP = ('use IO::Socket::IP; $s=IO::Socket::IP->new(LocalHost=>"::",V6Only=>0,LocalPort=>53,Proto=>"udp") or die $@; '
            'while(1){$s->recv($b,1500); $s->send("udp $b")}')


def ask(socat_address, text):
    """What comes back to this line, to the host."""
    process = subprocess.run(["socat", "-t", "10", "-T", "10", "-", socat_address], input=f"{text}\n", stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    return process.stdout.strip()


@suite.case("ports of the host lead to a guest", needs="a guest gets an address and a way out")
def forwards():
    console = guests["net1"]
    for program in (ECHO_TCP, ECHO_UDP):
        console.command(f"{{ perl -e '{program}' >>/dev/shm/echo 2>&1 & }} 2>/dev/null")
    four, six = lease["address"], "fd08::5"
    for proto, port, to, to_port in (("tcp", "8080", four, "80"), ("udp", "8053", four, "53"), ("tcp", "8086", six, "80"),
                                     ("udp", "8056", six, "53")):
        vmctl("net-forward-add", "green", proto, port, to, "--to-port", to_port)
    rows = [line.split() for line in vmctl("net-forward-list", "green").splitlines()[2:]]
    equal(len(rows), 4, f"rows of net-forward-list: {rows}")
    wait_until("TCP is listened on", lambda: ":8080 " in run("ss", "-ltn").out and ":8086 " in run("ss", "-ltn").out, 30, 0.2)
    wait_until("UDP is listened on", lambda: ":8053 " in run("ss", "-lun").out and ":8056 " in run("ss", "-lun").out, 30, 0.2)
    # From the host, by an address of its own.
    for kind, address in (("tcp", f"TCP4:{OUTSIDE}:8080"), ("udp", f"UDP4:{OUTSIDE}:8053"), ("tcp", f"TCP6:[{OUTSIDE6}]:8086"),
                          ("udp", f"UDP6:[{OUTSIDE6}]:8056")):
        answer = wait_until(f"an answer from {address}", lambda a=address: ask(a, "one"), 60, 0.5)
        equal(answer, f"{kind} one", f"what {address} answers")
    # And from the guest itself: out by NAT, and back in.
    for address, port in ((OUTSIDE, 8080), (OUTSIDE6, 8086)):
        equal(console.command(f"echo two | nc -N -w 20 {address} {port}", 60), "tcp two", f"what {address} answers the guest")
    vmctl("net-forward-delete", "green", "tcp", "8080")
    wait_until("8080 is given back", lambda: ":8080 " not in run("ss", "-ltn").out, 30, 0.2)
    equal(ask(f"TCP6:[{OUTSIDE6}]:8086", "three"), "tcp three", "the forward that stays")
    for proto, port in (("udp", "8053"), ("tcp", "8086"), ("udp", "8056")):
        vmctl("net-forward-delete", "green", proto, port)
    console.command("pkill perl; true")


@suite.case("networks and gateways live on while the daemon is killed",
            needs=("an isolated network", "a guest gets an address and a way out", "guest net2"))
def daemon_killed():
    workers, slirp = network_workers(), processes("slirp4netns")
    # The daemon alone; the whole control group is killed below.
    run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "vmmd.service")
    check(reaches("net1", "net2"), "no network without the daemon")
    wait_until("the daemon is back", lambda: run("vmctl", "net-list").status == 0, 30, 0.5)
    equal((network_workers(), processes("slirp4netns")), (workers, slirp), "processes after the daemon's restart")
    equal(len([line for line in vmctl("net-port-list", "red").splitlines() if " net1 " in line]), 1, "rows of net1 in net-port-list")
    check(reaches("net2", "net1"), "no network after the daemon's restart")
    old = processes("dnsmasq")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_until("another dnsmasq is there", lambda: set(processes("dnsmasq")) - set(old), 30, 0.5)
    wait_until("the guest gets its address again", lambda: "10.8.0.1" in guests["net1"].command(
        "udhcpc -i eth1 -n -q -t 5 2>&1 | tail -n 4; true", 60), 60)
    check(pings("net1", "10.8.0.1"), "the guest does not reach its gateway")


def rules():
    return run("nft", "list", "ruleset").out


@suite.case("a routed network", needs="the default network")
def routed():
    before = host_network()[:-1]
    start_network("grey", GREY)
    check("10.7.0.1/24" in run("ip", "-br", "address", "show", "virbr9").out, "the host's address")
    check("10.77.0.0/16 via 10.7.0.9 dev virbr9" in run("ip", "route").out, "no route to the network behind a guest")
    equal(pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text(), "1\n", "forwarding")
    check("table inet vmmd_grey" in rules(), f"no table: {rules()}")
    run("nft", "flush", "ruleset")
    check('iifname "virbr9" ip saddr 10.7.0.0/24 accept' in rules(), "a flush has opened the table")
    end_network("grey")
    wait_until("the host is as it was", lambda: host_network()[:-1] == before, 20, 0.2)
    run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")


@suite.case("gateways live on when the service is killed and stopped", needs="a routed network")
def service_ends():
    start_network("grey", GREY)
    start_network("white", WHITE)
    programs = ("dnsmasq", "slirp4netns", "vmmd-worker")
    wait_until("slirp4netns runs", lambda: processes("slirp4netns"), 30, 0.2)
    for program in programs[:2]:
        for pid in processes(program):
            wait_until(f"{program} has a scope", lambda path=f"/proc/{pid}/cgroup", name=program:
                       f"vmmd.slice/vmmd-gateway-{name}-" in pathlib.Path(path).read_text(), 20, 0.2)
    before = [processes(program) for program in programs]
    # All that is in the service's control group, twice.
    run("systemctl", "kill", "-s", "KILL", "vmmd.service")
    wait_until("the daemon is back", lambda: run("vmctl", "net-list").status == 0, 30, 0.5)
    run("systemctl", "stop", "vmmd.service")
    check("table inet vmmd_grey" in rules(), "the table went with the service")
    equal([processes(program) for program in programs], before, "what runs without the service")
    run("systemctl", "start", "vmmd.service")
    states = {line.split()[0]: line.split()[1] for line in vmctl("net-list").splitlines()[2:]}
    equal((states["grey"], states["white"]), ("active", "active"), "networks after the service's restart")
    equal([processes(program) for program in programs], before, "what runs after the service's restart")
    end_network("grey")
    end_network("white")
    check("vmmd_grey" not in rules(), "the table is left")


def pasta():
    return {pid for name in ("passt", "passt.avx2") for pid in processes(name)}


@suite.case("pasta under Debian's AppArmor profile", needs="a network with NAT and DHCP")
def confined():
    loaded = run("apparmor_parser", "-r", "-W", PROFILE)
    equal(loaded.status, 0, f"apparmor_parser: {loaded.err}")
    profiles = pathlib.Path("/sys/kernel/security/apparmor/profiles").read_text()
    check("passt (enforce)" in profiles, f"the profile is not in force: {profiles}")
    others = pasta()
    start_network("white", WHITE)
    try:
        wait_until("TCP is listened on", lambda: ":8022 " in run("ss", "-ltn").out, 30, 0.2)
        check(":8053 " in run("ss", "-lun").out, "UDP is not listened on")
        names = [pathlib.Path(f"/proc/{pid}/attr/current").read_text().strip("\n\0") for pid in pasta() - others]
        check(names and all(name.startswith("passt") for name in names), f"pasta is not confined: {names}")
    except Exception:
        note(run("journalctl", "-k", "--no-pager", "-g", "apparmor").out[-3000:])
        note(run("tail", "-n", "20", "/var/lib/vmmd/log/gateway:white.log").out)
        raise
    finally:
        end_network("white")
        run("apparmor_parser", "-R", PROFILE)
