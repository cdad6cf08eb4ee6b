# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Gateways in the installed service: networks that the host's kernel routes, what is left when the service is killed,
# and pasta under the AppArmor profile that Debian has for it. No guest is needed for these.

import pathlib

from domain import JOB, processes
from harness import check, equal, note, run, suite, vmctl, wait_until
from networks import host_network

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


def start(name, xml):
    path = JOB / f"{name}.xml"
    path.write_text(xml)
    vmctl("net-define", str(path))
    equal(vmctl("net-start", name), f"Network {name} started", "answer to net-start")


def end(name):
    vmctl("net-destroy", name)
    vmctl("net-undefine", name)


def rules():
    return run("nft", "list", "ruleset").out


@suite.case("a routed network", needs="the default network")
def routed():
    address, route, ruleset, _ = host_network()
    start("grey", GREY)
    check("10.7.0.1/24" in run("ip", "-br", "address", "show", "virbr9").out, "the host's address")
    check("10.77.0.0/16 via 10.7.0.9 dev virbr9" in run("ip", "route").out, "no route to the network behind a guest")
    equal(pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text(), "1\n", "forwarding")
    check("table inet vmmd_grey" in rules(), f"no table: {rules()}")
    run("nft", "flush", "ruleset")
    check('iifname "virbr9" ip saddr 10.7.0.0/24 accept' in rules(), "a flush has opened the table")
    end("grey")
    wait_until("the host is as it was", lambda: host_network()[:3] == [address, route, ruleset], 20, 0.2)
    run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")


@suite.case("gateways live on when the service is killed and stopped", needs="a routed network")
def service_ends():
    start("grey", GREY)
    start("white", WHITE)
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
    end("grey")
    end("white")
    check("vmmd_grey" not in rules(), "the table is left")


@suite.case("pasta under Debian's AppArmor profile", needs="the default network")
def confined():
    loaded = run("apparmor_parser", "-r", "-W", PROFILE)
    equal(loaded.status, 0, f"apparmor_parser: {loaded.err}")
    profiles = pathlib.Path("/sys/kernel/security/apparmor/profiles").read_text()
    check("passt (enforce)" in profiles, f"the profile is not in force: {profiles}")
    # pasta does not start without a way out.
    run("ip", "link", "add", "outside", "type", "dummy")
    run("ip", "address", "add", "192.0.2.1/24", "dev", "outside")
    run("ip", "link", "set", "outside", "up")
    run("ip", "route", "add", "default", "via", "192.0.2.254")
    start("white", WHITE)
    try:
        wait_until("TCP is listened on", lambda: ":8022 " in run("ss", "-ltn").out, 30, 0.2)
        check(":8053 " in run("ss", "-lun").out, "UDP is not listened on")
        names = [pathlib.Path(f"/proc/{pid}/attr/current").read_text().strip("\n\0") for name in ("passt", "passt.avx2")
                 for pid in processes(name)]
        check(names and all(name.startswith("passt") for name in names), f"pasta is not confined: {names}")
    except Exception:
        note(run("journalctl", "-k", "--no-pager", "-g", "apparmor").out[-3000:])
        note(run("tail", "-n", "20", "/var/lib/vmmd/log/gateway:white.log").out)
        raise
    finally:
        end("white")
        run("ip", "link", "delete", "outside")
        run("apparmor_parser", "-R", PROFILE)
