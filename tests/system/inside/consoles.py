# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An unmodified Debian with 4 vCPUs, two nodes, a virtio console and a channel: a getty on /dev/hvc0 that "vmctl console
# --devname" reaches beside the serial one, and a named port with a unix socket on the host.

import hashlib
import json
import os
import pathlib
import re
import socket
import stat
import time

import nodes
from domain import processes, write_xml
from harness import Console, check, equal, note, run, suite, vmctl, vmctl_fails, wait_until
from lifecycle import boot, reason

PORT = "org.qemu.guest_agent.0"
FIRST_NODE_MIB = 512 - nodes.SECOND_MIB
DEVICES = f"""
    <console type='pty'>
      <target type='virtio' port='1'/>
    </console>
    <channel type='unix'>
      <target type='virtio' name='{PORT}'/>
    </channel>
  </devices>"""

machine = {}


def serial(line):
    """Run a line in the guest by its serial console."""
    return machine["serial"].command(line)


@suite.case("boot with 4 vCPUs, a virtio console and a channel", needs="define")
def consoles_boot():
    # On the disk of deb1, which is off, or should be.
    run("vmctl", "destroy", "deb1")
    vmctl("define", write_xml("deb4", 4, disk="deb1.img", **{
        "\n  </devices>": DEVICES, "root=/dev/vda rw": "root=/dev/vda rw quiet", "<vcpu>4</vcpu>": "<vcpu current='4'>5</vcpu><iothreads>1</iothreads>",
        "<driver name='qemu' type='raw'/>": "<driver name='qemu' type='raw' iothread='1'/>", **nodes.xml(5, FIRST_NODE_MIB)}))
    nodes.fill_pool("deb4")
    machine["serial"] = boot("deb4")
    equal(serial("nproc"), "4", "processors in the guest")
    nodes.check_guest(serial, "0-3", FIRST_NODE_MIB)
    note(" ".join(serial("lscpu | grep -E '^(Thread|Core|Socket)'").split()))
    equal(serial("systemd-detect-virt").strip(), "kvm", "what the guest sees")
    equal(serial("cat /sys/class/virtio-ports/vport*/name"), PORT, "names of the virtio ports")
    check("hvc0" in serial("ls /sys/class/tty"), "the guest has no hvc0")


@suite.case("a getty on the virtio console", needs="boot with 4 vCPUs, a virtio console and a channel")
def console_getty():
    check("no character device 'console2'" in vmctl_fails("console", "deb4", "--devname", "console2"),
          "a console that is not there")
    serial("systemctl start serial-getty@hvc0.service")
    with Console("deb4", "--devname", "console1") as console:
        console.send("\r")
        console.login()
        equal(console.command("tty"), "/dev/hvc0", "terminal of the session")
        # More than the guest's buffers hold, to the host.
        text = console.command("seq 1 2000", 120).split()
        equal(text, [str(n) for n in range(1, 2001)], "2000 lines on the virtio console")
        # The terminal's size is the console's.
        for columns, rows in ((132, 43), (91, 30)):
            console.resize(columns, rows)
            wait_until(f"the guest's terminal is {columns} by {rows}",
                       lambda want=f"{rows} {columns}": console.command("stty size") == want, 30)
        # The serial console has its own session meanwhile.
        equal(serial("tty"), "/dev/ttyS0", "terminal of the serial session")
        console.command("true")
        console.leave()


def channel_path():
    live = vmctl("dumpxml", "deb4")
    match = re.search(r"<channel type='unix'>\s*<source mode='bind' path='([^']+)'/>", live)
    check(match, f"the live XML does not name the channel's socket:\n{live}")
    check(match.group(1) not in vmctl("dumpxml", "deb4", "--inactive"), "the inactive XML names a socket of this run")
    return match.group(1)


def receive(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        check(part, f"the channel ended after {len(data)} of {n} bytes")
        data += part
    return data


@suite.case("bytes through a channel in both directions", needs="boot with 4 vCPUs, a virtio console and a channel")
def channel_bytes():
    path = channel_path()
    check(stat.S_ISSOCK(os.stat(path).st_mode), f"'{path}' is no socket")
    device = f"/dev/virtio-ports/{PORT}"
    serial(f"test -c {device}")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(path)
        serial(f"{{ (exec 3<>{device}; read -r l <&3; echo \"heard $l\" >&3; "
               f"head -c 300000 <&3 | sha256sum >&3; seq 1 20000 >&3) >/dev/null 2>&1 & }}")
        s.sendall(b"hello guest\n")
        equal(receive(s, 18), b"heard hello guest\n", "answer of the guest")
        data = os.urandom(300000)
        s.sendall(data)
        equal(receive(s, 64).decode(), hashlib.sha256(data).hexdigest(), "what the guest made of 300 000 bytes")
        receive(s, 4)
        want = "".join(f"{n}\n" for n in range(1, 20001)).encode()
        check(receive(s, len(want)) == want, "what the guest sent came changed")
        serial("wait")


@suite.case("the guest sees who is at a channel's other end", needs="bytes through a channel in both directions")
def channel_hangs_up():
    def refused():
        # Without a listener a write waits, and one that may not wait fails.
        return serial(f"dd if=/dev/zero of=/dev/virtio-ports/{PORT} bs=1 count=1 oflag=nonblock 2>&1 || true")

    wait_until("the guest learns that nobody is there", lambda: "unavailable" in refused(), 20)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(channel_path())
        wait_until("the guest learns that somebody is there", lambda: "1 byte" in refused(), 20)
        equal(receive(s, 1), b"\0", "the byte of the guest")


def allowed_cpus(pid, name):
    """Where the worker's thread of this name may run, as the kernel has it."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return re.search(r"Cpus_allowed_list:\s*(\S+)", (task / "status").read_text()).group(1)
    return None


@suite.case("threads are pinned, and the scope has its share", needs="boot with 4 vCPUs, a virtio console and a channel")
def threads_pinned():
    pid = processes("vmmd-worker")[0]
    equal(allowed_cpus(pid, "CPU 4/KVM") is None, False, "a thread for the vCPU that is off")
    equal(vmctl("vcpupin", "deb4", "1", "0").strip(), "", "answer to vcpupin")
    equal(vmctl("emulatorpin", "deb4", "0").strip(), "", "answer to emulatorpin")
    equal(allowed_cpus(pid, "CPU 1/KVM"), "0", "CPUs of vCPU 1's thread")
    equal(vmctl("schedinfo", "deb4", "cpu_shares=200", "global_quota=90000").splitlines()[1], "cpu_shares     : 200", "schedinfo")
    scope = pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("/")[2]
    shown = run("systemctl", "show", "-p", "CPUWeight", "-p", "CPUQuotaPerSecUSec", scope).out
    check("CPUWeight=200" in shown and "CPUQuotaPerSecUSec=900ms" in shown, f"{scope} has\n{shown}")
    vmctl("schedinfo", "deb4", "global_quota=-1")
    check("<vcpupin vcpu='1' cpuset='0'/>" in vmctl("dumpxml", "deb4"), "the live XML has no pin")


@suite.case("a disk has a thread of its own", needs="threads are pinned, and the scope has its share")
def iothreads():
    def cpu_time():
        return json.loads(vmctl("iothreadinfo", "deb4", "--json"))[0]["cpu_time"]

    pid = processes("vmmd-worker")[0]
    check(allowed_cpus(pid, "IO iothread1"), "no thread for the iothread")
    equal(vmctl("iothreadpin", "deb4", "1", "0").strip(), "", "answer to iothreadpin")
    equal(allowed_cpus(pid, "IO iothread1"), "0", "CPUs of the iothread")
    equal(vmctl("iothreadinfo", "deb4").split()[-2:], ["1", "0"], "iothreadinfo")
    # It is the one that works on the disk, which is the guest's root, and the ledger says so.
    before = cpu_time()
    serial("dd if=/dev/zero of=/var/tmp/iothread bs=64k count=256 oflag=direct 2>/dev/null; rm /var/tmp/iothread")
    check(cpu_time() > before, "the iothread has done nothing")
    parts = dict(re.findall(r"overhead\.([\w.]+)=(\d+)$", vmctl("domstats", "--overhead", "deb4"), re.M))
    check(0 < int(parts["block.0.time"]) <= int(parts["iothread"]), f"the disk's part of {parts['iothread']} ns is {parts['block.0.time']}")
    # They come and go, but for the one that is needed.
    vmctl("iothreadadd", "deb4", "7", "--live")
    check(allowed_cpus(pid, "IO iothread7"), "no thread for the new iothread")
    check("used by disk 'vda'" in vmctl_fails("iothreaddel", "deb4", "1"), "an iothread in use is taken away")
    vmctl("iothreaddel", "deb4", "7")
    equal(allowed_cpus(pid, "IO iothread7"), None, "the iothread that is gone")


def use(cpu):
    """The processor that came is online in the guest."""
    path = f"/sys/devices/system/cpu/cpu{cpu}/online"
    wait_until(f"the guest sees processor {cpu}", lambda: serial(f"test -e {path} && echo yes; true") == "yes", 240)
    serial(f"echo 1 >{path}")


@suite.case("processors come and go under load", needs="boot with 4 vCPUs, a virtio console and a channel")
def processors_change():
    def count():
        return vmctl("vcpucount", "deb4", "--active", "--live").strip()

    serial("(for i in 1 2; do (while :; do :; done) & echo $! >>/tmp/load; done) >/dev/null 2>&1")
    vmctl("setvcpus", "deb4", "5")
    equal(count(), "5", "vCPUs")
    use(4)
    equal(serial("nproc"), "5", "processors in the guest")
    # The guest may take longer than the call waits.
    run("vmctl", "setvcpus", "deb4", "3")
    wait_until("the guest has let go of two processors", lambda: count() == "3", 240)
    equal(serial("nproc"), "3", "processors in the guest")
    vmctl("setvcpus", "deb4", "4")
    use(3)
    equal(serial("nproc"), "4", "processors in the guest")
    serial("kill $(cat /tmp/load)")
    check("TSC: Marking" not in serial("dmesg | grep -i tsc || true"), "the guest gave up its TSC")
    check("vcpu.current=4" in vmctl("domstats", "deb4", "--vcpu"), "domstats has another number of vCPUs")


@suite.case("destroy, which ends the consoles, too", needs="boot with 4 vCPUs, a virtio console and a channel")
def destroyed():
    path = channel_path()
    start = time.monotonic()
    equal(vmctl("destroy", "deb4").strip(), "Domain 'deb4' destroyed", "answer to destroy")
    check(time.monotonic() - start < 20, "destroy took more than 20 s")
    equal(reason("deb4"), "shut off (destroyed)", "state")
    equal(processes("vmmd-worker"), [], "workers after destroy")
    nodes.empty_pool()
    check(not os.path.exists(path), f"'{path}' is left")
    machine.pop("serial").close()
    equal(vmctl("undefine", "deb4").strip(), "Domain 'deb4' has been undefined", "answer to undefine")
