# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The Debian packages on a running system: the service starts with the installation, machines and networks run on while they
# are upgraded, removed and installed again, and a purge ends and removes all of it. These cases come last: they leave
# no vmmd. What is in the packages, and what they do without a running systemd: tests/package.

import glob
import os
import pathlib

from domain import JOB, daemons, processes
from gateways import GREY, rules
from guests import boot, define
from harness import Console, Skipped, check, equal, run, suite, vmctl, wait_until
from topologies import add_interface, start_network

DEBS = JOB / "packages"
MAC, TAP_MAC, CHOSEN_MAC = "52:54:00:00:0a:01", "52:54:00:00:0a:a1", "52:54:00:00:0a:a2"
PROGRAMS = ("vmmd-worker", "dnsmasq", "slirp4netns")


def dpkg(*argv):
    result = run("dpkg", *argv, timeout=300)
    equal(result.status, 0, f"dpkg {argv[0]}: {result.err}{result.out}")
    return result.out


def debs(*names):
    return [path for name in names for path in glob.glob(f"{DEBS}/{name}_*.deb")]


def what_runs():
    return {program: processes(program) for program in PROGRAMS}


def network_state(name):
    rows = [line.split() for line in vmctl("net-list", "--all").splitlines()[2:]]
    return next((row[1] for row in rows if row[0] == name), None)


def is_active(unit):
    return run("systemctl", "is-active", unit).out.strip()


def ticks():
    """What the guest has counted; it must count on."""
    with Console("pk1", "--force") as console:
        console.send("\r")
        console.expect("# ", 60)
        before = int(console.command("wc -l </tmp/ticks"))
        wait_until("the guest counts on", lambda: int(console.command("wc -l </tmp/ticks")) > before, 30, 1)
        console.leave()
    return before


@suite.case("package: install starts the service", needs="service starts")
def installed():
    if not DEBS.is_dir():
        raise Skipped("no packages were built: scripts/setup installs what that takes")
    for network in vmctl("net-list", "--name").split():
        vmctl("net-destroy", network)
    for domain in vmctl("list", "--name").split():
        vmctl("destroy", domain)
    run("systemctl", "disable", "--now", "vmmd.socket", "vmmd")
    run("rm", "-rf", "/var/lib/vmmd", "/run/vmmd", "/usr/sbin/vmmd", "/usr/bin/vmctl", "/usr/libexec/vmmd-worker",
        *glob.glob("/usr/lib/systemd/system/vmmd.s*"))
    dpkg("-i", *debs("vmmd", "vmctl"))
    equal((is_active("vmmd"), run("systemctl", "is-enabled", "vmmd").out.strip()), ("active", "enabled"), "the unit")
    wait_until("the default network is active", lambda: network_state("default") == "active", 60, 0.5)


@suite.case("package: an upgrade keeps machines and networks running", needs="package: install starts the service")
def upgraded():
    for line in ("ip link add nic8 type veth peer name far8", "ip link set nic8 up", "ip link set far8 up"):
        equal(run(*line.split()).status, 0, line)
    start_network("grey", GREY)
    add_interface("pk1", MAC, "network", "<source network='default'/>")
    add_interface("pk1", TAP_MAC, "direct", "<source dev='nic8' mode='bridge'/><target dev='pk1tap'/>")
    # The name of this one vmmd chooses: macvtapN.
    add_interface("pk1", CHOSEN_MAC, "direct", "<source dev='nic8' mode='bridge'/>")
    define("pk1")
    with boot("pk1") as console:
        console.command("mount -t tmpfs tmpfs /tmp; (while :; do echo x >>/tmp/ticks; sleep 0.2; done) & true")
        console.leave()
    before, daemon, uuid = what_runs(), daemons(), vmctl("domuuid", "pk1")
    for program, pids in before.items():
        check(pids, f"no {program} runs")
    dpkg("-i", f"{DEBS}/next/vmmd_next.deb")
    check(run("dpkg-query", "-W", "-f", "${Version}", "vmmd").out.endswith("+next"), "it is not the later version")
    check(daemons() not in ([], daemon), "the daemon was not started anew")
    equal(what_runs(), before, "what runs after the upgrade")
    equal((vmctl("domstate", "pk1"), vmctl("domuuid", "pk1")), ("running", uuid), "the domain after the upgrade")
    equal([network_state(name) for name in ("default", "grey")], ["active", "active"], "networks after the upgrade")
    ticks()


@suite.case("package: removed and installed again, it finds what runs",
            needs="package: an upgrade keeps machines and networks running")
def removed():
    before = what_runs()
    said = dpkg("-r", "vmmd")
    check("3 machines and networks run on" in said, f"it does not say that they run on: {said}")
    equal(daemons(), [], "daemons after the removal")
    equal(what_runs(), before, "what runs after the removal")
    dpkg("-i", *debs("vmmd"))
    equal(vmctl("domstate", "pk1"), "running", "the domain after the second installation")
    equal(what_runs(), before, "what runs after the second installation")
    ticks()


@suite.case("package: a purge ends and removes everything",
            needs="package: an upgrade keeps machines and networks running")
def purged():
    for name in ("pk1tap", "macvtap"):
        check(name in run("ip", "link").out, f"there is no {name}")
    check("vmmd_grey" in rules(), "there is no table")
    dpkg("-P", "vmmd", "vmctl")
    for program in (*PROGRAMS, "vmmd"):
        wait_until(f"no {program} runs", lambda name=program: not processes(name), 20, 0.2)
    for path in ("/var/lib/vmmd", "/run/vmmd", "/usr/sbin/vmmd", "/lib/systemd/system/vmmd.service",
                 "/etc/systemd/system/multi-user.target.wants/vmmd.service"):
        check(not os.path.lexists(path), f"{path} is still there")
    links = run("ip", "link").out
    for name in ("pk1tap", "macvtap", "virbr", "vnet"):
        check(name not in links, f"an interface is left: {links}")
    check("vmmd_" not in rules(), f"a table is left: {rules()}")
    equal(is_active("vmmd.slice"), "inactive", "the slice")
    check(not pathlib.Path("/sys/fs/cgroup/vmmd.slice").exists(), "a control group is left")
    equal(run("systemctl", "list-units", "--all", "--no-legend", "vmmd*").out, "", "units that are left")
