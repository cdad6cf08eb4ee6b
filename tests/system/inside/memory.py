# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Memory that a Debian guest gives back: what it has free by itself, what it is told to give up while it works with its data.

import re

from guests import guests
from harness import check, equal, suite, vmctl, wait_until

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
