# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Memory that a Debian guest gives back: what it has free by itself, what it is told to give up while it works with its data;
# memory that is plugged into it and out of it meanwhile; and what the host's policy takes while the host is short of it.

import json
import pathlib
import re

from domain import JOB
from guests import guests
from harness import check, equal, run, suite, vmctl, vmctl_fails, wait_until
from topologies import NAMES

GUEST = "net1"
WHOLE_MIB, LESS_MIB = 256, 160
WAIT_S = 240


def memory():
    """What dommemstat says, in KiB: 'available' is what the guest has in all, 'rss' what its worker takes on the host."""
    return {key: int(value) for key, value in (line.split() for line in vmctl("dommemstat", GUEST).splitlines())}


def has(mib):
    wait_until(f"the guest has {mib} MiB", lambda: memory()["actual"] == mib * 1024, WAIT_S, 1)
    total = int(re.search(r"\d+", guests[GUEST].command("grep MemTotal /proc/meminfo"))[0])
    equal(memory()["available"], total, f"the guest's memory in dommemstat when it has {mib} MiB")
    return total


PLUGGED_MIB = 512
DEVICE = f"""<memory model='virtio-mem'>
  <target>
    <size unit='MiB'>{PLUGGED_MIB}</size>
    <requested unit='MiB'>0</requested>
  </target>
</memory>
"""


@suite.case("memory goes back to the host and comes again", needs=f"guest {GUEST}")
def balloon():
    guest = guests[GUEST]
    guest.command("modprobe virtio_balloon; mount -t tmpfs -o size=80% tmpfs /mnt; cd /mnt", 60)
    guest.command("head -c 10M /dev/urandom >data; md5sum data >sum; head -c 120M /dev/zero >ballast", WAIT_S)
    # What the guest has free comes back without anybody asking.
    full = memory()["rss"]
    guest.command("rm ballast")
    wait_until("100 MiB that are free in the guest are the host's", lambda: memory()["rss"] < full - 100 * 1024, WAIT_S, 1)
    # What it is told to give up, while it works.
    guest.command("while [ ! -e stop ]; do md5sum -c --status sum || touch wrong; done & :")
    whole = has(WHOLE_MIB)
    vmctl("setmem", GUEST, f"{LESS_MIB}M", "--live")
    less = has(LESS_MIB)
    check(less <= whole - (WHOLE_MIB - LESS_MIB - 8) * 1024, f"the guest has {less} of {whole} KiB")
    check(f"<currentMemory unit='KiB'>{LESS_MIB * 1024}<" in vmctl("dumpxml", GUEST), "dumpxml does not show what it has")
    vmctl("setmem", GUEST, f"{WHOLE_MIB}M", "--live")
    equal(has(WHOLE_MIB), whole, "the guest's memory when it has all of it again")
    guest.command("touch stop; wait; head -c 120M /dev/zero >ballast; md5sum -c --status sum && [ ! -e wrong ]", WAIT_S)
    guest.command("cd /; umount /mnt")
    check("needs_reset.sum=0" in vmctl("domstats", GUEST, "--vm"), "the guest's driver broke a device")


def plug(mib):
    """Have so much of the device plugged in, and wait until it is."""
    vmctl("update-memory-device", GUEST, "--alias", "virtiomem0", "--requested-size", f"{mib}MiB", "--live")
    wait_until(f"the guest has {mib} MiB of the device",
               lambda: f"<current unit='KiB'>{mib * 1024}<" in vmctl("dumpxml", GUEST), WAIT_S, 1)
    total = int(re.search(r"\d+", guests[GUEST].command("grep MemTotal /proc/meminfo"))[0])
    equal(memory()["actual"], (WHOLE_MIB + mib) * 1024, f"dommemstat with {mib} MiB plugged in")
    return total


@suite.case("memory is plugged in and out while the guest works with it", needs=f"guest {GUEST}")
def plugged():
    guest = guests[GUEST]
    path = JOB / "memory.xml"
    path.write_text(DEVICE)
    equal(vmctl("attach-device", GUEST, str(path), "--live"), "Device attached successfully", "attach-device")
    guest.command("echo online_movable >/sys/devices/system/memory/auto_online_blocks; modprobe virtio_mem", 60)
    before = plug(0)
    grown = plug(PLUGGED_MIB) - before
    check(grown > (PLUGGED_MIB - 16) * 1024, f"the guest has {grown} KiB more of {PLUGGED_MIB} MiB")
    # More than it had before, and more than its control group let it have.
    guest.command("mount -t tmpfs -o size=90% tmpfs /mnt; cd /mnt", 60)
    guest.command("head -c 10M /dev/urandom >data; md5sum data >sum; head -c 360M /dev/zero >ballast", WAIT_S)
    full = memory()["rss"]
    check(full > 360 * 1024, f"the worker has {full} KiB")
    refusal = vmctl_fails("detach-device", GUEST, str(path), "--live")
    check("request 0 first" in refusal, f"detaching what is in use is answered by {refusal}")
    guest.command("rm ballast; while [ ! -e stop ]; do md5sum -c --status sum || touch wrong; done & :")
    after = plug(0)
    check(abs(after - before) < 1024, f"the guest has {after} KiB when all is unplugged, and {before} KiB before")
    wait_until("what was plugged in is the host's", lambda: memory()["rss"] < full - 256 * 1024, WAIT_S, 1)
    guest.command("touch stop; wait; md5sum -c --status sum && [ ! -e wrong ]", WAIT_S)
    guest.command("cd /; umount /mnt")
    equal(vmctl("detach-device", GUEST, str(path), "--live"), "Device detached successfully", "detach-device")
    check("virtio-mem" not in vmctl("dumpxml", GUEST), "the device is still there")
    check("needs_reset.sum=0" in vmctl("domstats", GUEST, "--vm"), "the guest's driver broke a device")


HUGE_KIB = 2048
# What no guest is to be left without, in MiB; the last one weighs more.
FLOORS = dict(zip(NAMES, (176, 128, 128)))


def meminfo(key):
    return int(re.search(rf"{key}: *(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])


class Hog:
    """Takes the host's memory, all but a twelfth, and lets tasks wait for memory: huge pages that nobody may use, and a program that cannot stay
    within what its control group is to have."""

    def __enter__(self):
        self.pages = pathlib.Path("/proc/sys/vm/nr_hugepages")
        self.before = int(self.pages.read_text())
        self.pages.write_text(str(self.before + max(0, meminfo("MemAvailable") - meminfo("MemTotal") // 12) // HUGE_KIB))
        run("systemd-run", "--unit=vmmd-hog", "--property=MemoryHigh=8M", "--property=MemorySwapMax=0",
            "sh", "-c", "head -c 256M /dev/zero | tail")

    def __exit__(self, *_):
        run("systemctl", "kill", "--signal=KILL", "vmmd-hog")
        run("systemctl", "reset-failed", "vmmd-hog")
        self.pages.write_text(str(self.before))


def policy():
    return json.loads(vmctl("memory-policy", "--json"))


def taken():
    return {d["domain"]: d["taken_kib"] for d in policy()["domains"] if d["domain"] in NAMES}


@suite.case("a host under memory pressure takes what guests do not use, and gives it back", needs=[f"guest {name}" for name in NAMES])
def pressure():
    try:
        press()
    finally:
        run("vmctl", "memory-policy", "--off")


def press():
    for name in NAMES:
        guests[name].command("modprobe virtio_balloon", 60)
        vmctl("memtune", name, "--live", "--min-guarantee", f"{FLOORS[name]}M", "--weight", "400" if name == NAMES[-1] else "100")
    vmctl("memory-policy", "--on")
    check("waiting for pressure" in vmctl("memory-policy"), "the policy does not wait")
    with Hog():
        wait_until("all guests give something up", lambda: all(taken().values()), WAIT_S, 0.5)
        seen = policy()
        for name in NAMES:
            reasons = {d["reason"] for d in seen["decisions"] if d.get("domain") == name and d["action"] == "took"}
            equal(reasons, {"pressure"}, f"why something was taken from '{name}'")
        targets = {d["domain"]: d["target_kib"] for d in seen["domains"] if d["domain"] in NAMES}
        for name in NAMES:
            check(targets[name] >= FLOORS[name] * 1024, f"'{name}' is to do with {targets[name]} KiB")
        check(targets[NAMES[1]] <= targets[NAMES[2]], f"the heavier guest gives up more: {targets}")
        wait_until("a guest obeys", lambda: memory()["actual"] < WHOLE_MIB * 1024, WAIT_S, 0.5)
        equal(guests[GUEST].command("head -c 8M /dev/zero | wc -c", 60).strip(), str(8 << 20), "a guest's work meanwhile")
        check("pressure.memory.some.time=" in vmctl("domstats", GUEST, "--pressure"), "domstats does not know what the worker waited for")
    # Without waiting for the host to be calm for long: off gives back at once.
    vmctl("memory-policy", "--off")
    for name in NAMES:
        wait_until(f"'{name}' has all of it again", lambda n=name: f"Used memory:    {WHOLE_MIB * 1024} KiB" in vmctl("dominfo", n), WAIT_S, 0.5)
    check("MESSAGE_ID=5b1a9c20845641a5934fc7f9de20d1ba" in run("journalctl", "-o", "export", "-u", "vmmd", "VMMD_ACTION=took").out, "the journal has no record")
