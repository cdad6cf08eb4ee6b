# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Memory that a Debian guest gives back: what it has free by itself, what it is told to give up while it works with its data; and
# memory that is plugged into it and out of it meanwhile.

import re

from domain import JOB
from guests import guests
from harness import check, equal, suite, vmctl, vmctl_fails, wait_until

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
