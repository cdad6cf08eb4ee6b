# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The installed service: what "meson install" put there, and "systemctl enable --now vmmd", are all it takes.

import json
import os
import subprocess

from domain import JOB, write_xml
from harness import check, equal, run, suite, vmctl, vmctl_fails, wait_until

NOBODY = 65534


@suite.case("install")
def install():
    result = run("cp", "-a", "--no-preserve=ownership", f"{JOB}/tree/.", "/")
    equal(result.status, 0, f"copying the tree: {result.err}")
    for path in ("/usr/bin/vmctl", "/usr/sbin/vmmd", "/usr/libexec/vmmd-worker"):
        check(os.access(path, os.X_OK), f"{path} is not installed")


@suite.case("service starts", needs="install")
def service_starts():
    result = run("systemctl", "enable", "--now", "vmmd")
    equal(result.status, 0, f"systemctl enable --now vmmd: {result.err}")
    equal(run("systemctl", "is-active", "vmmd").out.strip(), "active", "state of the unit")
    equal(run("systemctl", "is-enabled", "vmmd").out.strip(), "enabled", "the unit")


@suite.case("the default network", needs="service starts")
def default_network():
    row = ["default", "active", "yes", "yes"]
    wait_until("the default network is active", lambda: vmctl("net-list", "--all").splitlines()[-1].split() == row, 60, 0.5)
    xml = vmctl("net-dumpxml", "default")
    for part in ("<forward mode='nat'/>", "<bridge name='virbr0'", "<ip address='192.168.122.1'",
                 "<range start='192.168.122.2' end='192.168.122.254'/>"):
        check(part in xml, f"no {part} in\n{xml}")
    # Who does not want it does not get it back. The other cases count networks from nothing.
    vmctl("net-destroy", "default")
    equal(vmctl("net-undefine", "default"), "Network default has been undefined", "answer to net-undefine")
    run("systemctl", "restart", "vmmd")
    check("default" not in vmctl("net-list", "--all"), "it came back with the next start")


@suite.case("vmctl talks to it", needs="service starts")
def talks():
    equal(vmctl("list", "--all").splitlines()[0].split(), ["Id", "Name", "State"], "heading of list")
    equal(vmctl("list", "--all", "--name"), "", "names before any is defined")
    equal(vmctl("hostname"), "testhost", "hostname")
    check("Using" in vmctl("version") or "vmmd" in vmctl("version"), "version says nothing")
    check("CPU(s):" in vmctl("nodeinfo"), "nodeinfo has no CPU(s)")
    json.loads(vmctl("list", "--all", "--json"))


@suite.case("D-Bus activation", needs="service starts")
def activation():
    run("systemctl", "stop", "vmmd")
    equal(vmctl("list", "--all", "--name"), "", "list that starts the service")
    equal(run("systemctl", "is-active", "vmmd").out.strip(), "active", "state of the unit")


@suite.case("polkit guards changes", needs="service starts")
def polkit():
    vmctl("--system", "list", "--all", user=NOBODY)
    error = vmctl_fails("--system", "define", f"{JOB}/guest/domain.xml.in", user=NOBODY)
    check("@NAME@" not in error and "XML" not in error, f"the XML was read before the caller was judged: {error}")
    equal(vmctl("list", "--all", "--name"), "", "names after a refused define")


@suite.case("roles and owners", needs="service starts")
def roles():
    run("systemd-sysusers")
    run("systemctl", "restart", "vmmd")
    for user, groups in (("operator1", "vmmd-operators"), ("owner1", "")):
        equal(run("useradd", "--system", "--user-group", f"--groups={groups}", user).status, 0, f"useradd {user}")
    vmctl("define", write_xml("owned", **{"<memory unit=": "<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='owner1'/>"
                                                           "</metadata><memory unit="}))
    vmctl("define", write_xml("foreign"))

    def as_user(user, way, *argv):
        return run("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "vmctl", *way, *argv)

    # Who may, hears that it does not run; the others are not told even that.
    bus, socket = ("--system",), ("-c", "unix:/run/vmmd/rpc.sock")
    for way in (bus, socket):
        for user, name, may in (("operator1", "owned", True), ("operator1", "foreign", True),
                                ("owner1", "owned", True), ("owner1", "foreign", False)):
            error = as_user(user, way, "destroy", name).err
            check(("is not running" if may else "access denied") in error, f"{user} {way[0]} destroy {name}: {error!r}")
            check("access denied" in as_user(user, way, "undefine", name).err, f"{user} {way[0]} undefine {name}")
        equal(sorted(as_user("operator1", way, "list", "--all", "--name").out.split()), ["foreign", "owned"], "the operator's list")
    equal(as_user("owner1", socket, "list", "--all", "--name").out.split(), ["owned"], "the owner's list")
    for name in ("owned", "foreign"):
        vmctl("undefine", name)


@suite.case("exposure is at most 4.8", needs="service starts")
def exposure():
    result = run("systemd-analyze", "security", "--threshold=48", "--no-pager", "vmmd.service")
    last = result.out.strip().splitlines()[-1] if result.out else result.err
    equal(result.status, 0, last)


@suite.case("completion knows the verbs", needs="service starts")
def completion():
    script = ("source /usr/share/bash-completion/completions/vmctl; COMP_WORDS=(vmctl dest); COMP_CWORD=1; "
              "COMP_LINE='vmctl dest'; COMP_POINT=10; "
              "f=$(complete -p vmctl | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f vmctl dest vmctl; echo ${COMPREPLY[*]}")
    out = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    check("destroy" in out.stdout, f"'vmctl dest' completes to {out.stdout.strip()!r} {out.stderr.strip()}")
