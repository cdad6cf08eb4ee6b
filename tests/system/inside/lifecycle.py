# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An unmodified Debian as a domain of the installed service: it boots with 1 and 2 vCPUs, keeps what it
# writes, reboots, stops in each way there is, and never notices that the daemon was killed.

import json
import os
import pathlib
import re
import signal
import time

from domain import JOB, daemons, processes, status_of, write_xml
from harness import Console, Failed, check, equal, note, run, suite, vmctl, vmctl_fails, wait_state, wait_until

BOOT_S = 400


def boot(domain, *start):
    """Start a domain and log in. A boot that hangs is shown and tried once more, never silently."""
    for attempt in (1, 2):
        equal(vmctl(*(start or ("start", domain))).strip(), f"Domain '{domain}' started", "answer to start")
        console = Console(domain)
        try:
            console.login(BOOT_S)
            return console
        except Failed as e:
            console.close()
            if attempt == 2:
                raise
            note(f"boot of '{domain}' failed, trying once more: {e}")
            run("vmctl", "destroy", domain)
            wait_state(domain, "shut off")


def nodes_of(pid):
    """Nodes of the host that a worker's control group lets its memory come from."""
    group = pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().partition("::")[2]
    try:
        return pathlib.Path(f"/sys/fs/cgroup{group}/cpuset.mems").read_text()
    except OSError:
        return None


def reason(domain):
    return vmctl("domstate", domain, "--reason")


def power_off(domain, console):
    console.send("poweroff\r")
    wait_state(domain, "shut off", 90)
    equal(reason(domain), "shut off (shutdown)", "reason")
    console.close()


@suite.case("define", needs="the default network")
def define():
    path = write_xml("deb1", 1, disk="deb1.img")
    equal(vmctl("define", path).splitlines()[0], f"Domain 'deb1' defined from {path}", "answer to define")
    equal(vmctl("domstate", "deb1"), "shut off", "state")
    equal(vmctl("list", "--all").splitlines()[2].split(), ["-", "deb1", "shut", "off"], "row of list --all")
    equal(vmctl("list", "--name"), "", "running domains")


@suite.case("what is shown of a domain", needs="define")
def shown():
    blocks = vmctl("domblklist", "deb1").splitlines()
    equal(blocks[2].split(), ["vda", "/job/guest/deb1.img"], "row of domblklist")
    info = dict(line.split(":", 1) for line in vmctl("dominfo", "deb1").splitlines() if ":" in line)
    equal(info["CPU(s)"].strip(), "1", "vCPUs in dominfo")
    equal(info["Max memory"].strip(), "524288 KiB", "memory in dominfo")
    equal(info["Persistent"].strip(), "yes", "persistence in dominfo")
    equal(vmctl("domname", vmctl("domuuid", "deb1")), "deb1", "name of the UUID")


@suite.case("boot with 1 vCPU, log in, write a file, power off", needs="define")
def boot_1():
    with boot("deb1") as console:
        equal(vmctl("domstate", "deb1", "--reason"), "running (booted)", "state")
        equal(console.command("nproc"), "1", "processors in the guest")
        check("bookworm" in console.command("cat /etc/os-release"), "not the guest that was meant")
        console.command("echo kept-$((40 + 2)) >/root/file && sync")
        power_off("deb1", console)
    equal(processes("vmmd-worker"), [], "workers after power-off")
    equal(vmctl("list", "--name"), "", "running domains")


@suite.case("the file is there after the next start, with 2 vCPUs", needs="boot with 1 vCPU, log in, write a file, power off")
def file_is_kept():
    path = JOB / "deb1-changed.xml"
    xml = re.sub(r"(<vcpu[^>]*>)1<", r"\g<1>2<", vmctl("dumpxml", "--inactive", "deb1"))
    # The serial port is slow under emulation, and the first boot has shown that what the kernel says comes through.
    path.write_text(xml.replace("root=/dev/vda rw", "root=/dev/vda rw quiet"))
    check("vcpu: 1" in vmctl("plan", str(path)), "the plan does not say that there will be more vCPUs")
    equal(vmctl("apply", str(path)).splitlines()[0], "~ domain 'deb1': changed", "answer to apply")
    equal(vmctl("plan", str(path)).strip(), "1 the same", "plan when it is applied")
    with boot("deb1") as console:
        equal(console.command("nproc"), "2", "processors in the guest")
        check("TSC: Marking" not in console.command("dmesg | grep -i tsc || true"), "the guest gave up its TSC")
        equal(console.command("cat /root/file"), "kept-42", "content of the file")


@suite.case("kill -9 of the daemon: the guest does not notice", needs="the file is there after the next start, with 2 vCPUs")
def daemon_killed():
    workers = processes("vmmd-worker")
    equal(len(workers), 1, "number of workers")
    ident, uuid = vmctl("domid", "deb1"), vmctl("domuuid", "deb1")
    with Console("deb1", "--force") as console:
        console.send("\r")
        console.expect("# ", 30)
        console.command("(while :; do date +%s.%N >>/run/ticks; sleep 0.2; done) & uptime")
        console.leave()
    daemon = daemons()
    equal(len(daemon), 1, "number of daemons")
    os.kill(daemon[0], signal.SIGKILL)
    wait_until("systemd starts the daemon again", lambda: daemons() not in ([], daemon), 30)
    wait_until("the daemon answers", lambda: run("vmctl", "domstate", "deb1").status == 0, 30, 0.5)
    equal(vmctl("domstate", "deb1"), "running", "state after the daemon's return")
    equal(vmctl("domid", "deb1"), ident, "id after the daemon's return")
    equal(vmctl("domuuid", "deb1"), uuid, "UUID after the daemon's return")
    equal(processes("vmmd-worker"), workers, "workers")
    with Console("deb1", "--force") as console:
        console.send("\r")
        console.expect("# ", 30)
        before = int(console.command("wc -l </run/ticks"))
        time.sleep(2)
        check(int(console.command("wc -l </run/ticks")) > before, "the guest stands still")
        equal(console.command("cat /root/file"), "kept-42", "the guest's disk")
        console.leave()


@suite.case("restart of the service keeps the guest", needs="kill -9 of the daemon: the guest does not notice")
def service_restarted():
    workers = processes("vmmd-worker")
    equal(run("systemctl", "restart", "vmmd").status, 0, "systemctl restart vmmd")
    equal(vmctl("domstate", "deb1"), "running", "state after the restart")
    equal(processes("vmmd-worker"), workers, "workers after the restart")


@suite.case("suspend and resume", needs="kill -9 of the daemon: the guest does not notice")
def suspend():
    equal(vmctl("suspend", "deb1").strip(), "Domain 'deb1' suspended", "answer to suspend")
    equal(reason("deb1"), "paused (user)", "state")
    equal(vmctl("resume", "deb1").strip(), "Domain 'deb1' resumed", "answer to resume")
    equal(reason("deb1"), "running (unpaused)", "state")
    with Console("deb1", "--force") as console:
        console.command("true")
        console.leave()


@suite.case("the worker is confined", needs="kill -9 of the daemon: the guest does not notice")
def confined():
    pid = processes("vmmd-worker")[0]
    for task in os.listdir(f"/proc/{pid}/task"):
        status = status_of(f"/proc/{pid}/task/{task}/status")
        for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            equal(int(status[field], 16), 0, f"{field} of thread {status['Name']}")
        equal(status["NoNewPrivs"], "1", f"no_new_privs of thread {status['Name']}")
        equal(status["Seccomp"], "2", f"seccomp mode of thread {status['Name']}")
        check("0" not in status["Uid"].split(), f"thread {status['Name']} runs as root: {status['Uid']}")
        check("0" not in status["Gid"].split(), f"thread {status['Name']} has group root: {status['Gid']}")
    for name in ("mnt", "net", "ipc", "uts", "pid"):
        check(os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"),
              f"the worker shares the host's {name} namespace")
    equal(run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-br", "link").out.split()[:2], ["lo", "DOWN"],
          "its network")
    with open(f"/proc/{pid}/mountinfo", encoding="ascii") as f:
        equal(len(f.readlines()), 1, "mounts it sees")
    with open(f"/proc/{pid}/maps", encoding="ascii") as f:
        writable_code = [line for line in f if "wx" in line.split()[1]]
    equal(writable_code, [], "mappings both writable and executable")
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as f:
        cgroup = f.read().strip()
    check("vmmd.service" not in cgroup, f"it lives in the daemon's cgroup: {cgroup}")


@suite.case("statistics and live XML", needs="kill -9 of the daemon: the guest does not notice")
def statistics():
    stats = vmctl("domstats", "deb1")
    for key in ("state.state=1", "cpu.time=", "vcpu.current=2", "block.count=1", "block.0.name=vda"):
        check(key in stats, f"domstats has no {key}:\n{stats}")
    check("<domain type='kvm' id='" in vmctl("dumpxml", "deb1"), "live XML has no id")
    check(" id='" not in vmctl("dumpxml", "deb1", "--inactive").splitlines()[0], "inactive XML has an id")
    json.loads(vmctl("dominfo", "deb1", "--json"))


def cgroup_ns(pid):
    """CPU time of the process' control group."""
    scope = pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::")
    usage = re.search(r"^usage_usec (\d+)", pathlib.Path(f"/sys/fs/cgroup{scope}/cpu.stat").read_text(), re.M)
    return int(usage.group(1)) * 1000


@suite.case("the overhead ledger agrees with the control group", needs="kill -9 of the daemon: the guest does not notice")
def ledger():
    pid = processes("vmmd-worker")[0]
    before = cgroup_ns(pid)
    parts = dict(re.findall(r"overhead\.(\w+)=(\d+)$", vmctl("domstats", "--overhead", "deb1"), re.M))
    after = cgroup_ns(pid)
    total = sum(int(parts[part]) for part in ("guest", "vcpu", "loop", "iothread", "io"))
    equal(int(parts["total"]), total, "overhead.total")
    note(f"ledger: {total} ns; control group: {before} to {after} ns, {100 * total / before:.2f} to {100 * total / after:.2f} %")
    check(0.97 * before <= total <= 1.03 * after, f"the ledger's {total} ns are not the control group's {before} to {after}")


@suite.case("reboot from inside", needs="kill -9 of the daemon: the guest does not notice")
def reboot():
    worker, ident = processes("vmmd-worker"), vmctl("domid", "deb1")
    with Console("deb1", "--force") as console:
        console.command("true")
        console.send("reboot\r")
        console.login(BOOT_S)
        equal(vmctl("domstate", "deb1"), "running", "state after the guest's reboot")
        equal(vmctl("domid", "deb1"), ident, "id after the guest's reboot")
        equal(console.command("cat /root/file; nproc").split(), ["kept-42", "2"], "the file and the processors after the reboot")
        note(f"worker before the reboot {worker}, after {processes('vmmd-worker')}")


@suite.case("shutdown by the power button", needs="reboot from inside")
def power_button():
    equal(vmctl("shutdown", "deb1").strip(), "Domain 'deb1' is being shutdown", "answer to shutdown")
    wait_state("deb1", "shut off", 90)
    equal(reason("deb1"), "shut off (shutdown)", "reason")


@suite.case("kill -9 of a worker is a crash with a name", needs="define")
def worker_killed():
    vmctl("start", "deb1")
    pid = wait_until("a worker", lambda: processes("vmmd-worker"))[0]
    os.kill(pid, signal.SIGKILL)
    wait_state("deb1", "shut off", 20)
    equal(reason("deb1"), "shut off (crashed)", "state")
    vmctl("start", "deb1")
    vmctl("destroy", "deb1")


@suite.case("a domain that uses up its group's memory ends, and nobody else", needs="define")
def out_of_memory():
    daemon = daemons()
    vmctl("start", "deb1")
    pid = wait_until("a worker", lambda: processes("vmmd-worker"))[0]
    # Less than its kernel and initrd: guest memory cannot be swapped out, and the group has room for nothing else.
    vmctl("memtune", "deb1", "--hard-limit", "32768", "--live")
    wait_state("deb1", "shut off", 60)
    equal(reason("deb1"), "shut off (crashed)", "state")
    check(pid not in processes("vmmd-worker") and daemons() == daemon, "another process was killed, or none")
    journal = run("journalctl", "--no-pager", "-o", "cat", "-u", "vmmd", "-n", "20").out
    check("domain 'deb1' crashed" in journal and "out of memory (of its control group" in journal, f"the journal does not say why:\n{journal}")


@suite.case("transient domain", needs="define")
def transient():
    path = write_xml("passing", 1, disk="deb1.img", **{
        "<vcpu>": "<numatune><memory mode='restrictive' nodeset='0'/></numatune><vcpu>"})
    equal(vmctl("create", path).splitlines()[0], f"Domain 'passing' created from {path}", "answer to create")
    equal(vmctl("domstate", "passing"), "running", "state")
    # Its memory is held to nodes by its group, which can change: not to nodes that are not there.
    pid = processes("vmmd-worker")[0]
    wait_until("the worker's group has its nodes", lambda: "0\n" == nodes_of(pid), 20)
    vmctl("numatune", "passing", "--nodeset", "0", "--live")
    check("NUMA node 1 is unavailable" in vmctl_fails("numatune", "passing", "--nodeset", "0-1", "--live"), "a node that is not there")
    equal(nodes_of(pid), "0\n", "the group's nodes")
    vmctl("destroy", "passing")
    check("passing" not in vmctl("list", "--all", "--name").split(), "a transient domain outlived its end")


@suite.case("definitions and autostart survive a restart", needs="define")
def persistence():
    equal(vmctl("autostart", "deb1").strip(), "Domain 'deb1' marked as autostarted", "answer to autostart")
    xml = vmctl("dumpxml", "--inactive", "deb1")
    equal(run("systemctl", "stop", "vmmd").status, 0, "systemctl stop vmmd")
    equal(run("systemctl", "start", "vmmd").status, 0, "systemctl start vmmd")
    equal(vmctl("dumpxml", "--inactive", "deb1"), xml, "XML after the restart")
    check("enable" in vmctl("dominfo", "deb1"), "the mark is gone")
    vmctl("autostart", "--disable", "deb1")
    if vmctl("domstate", "deb1") != "shut off":
        vmctl("destroy", "deb1")
