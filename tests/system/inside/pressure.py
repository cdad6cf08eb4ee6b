# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A host that is short of memory, with three Debian guests: a program takes what the host has, and another one waits for memory. The
# policy takes from the guests what they do not use, down to their floors, says why, and gives it back when there is no pressure any more.

import json
import pathlib
import re

from guests import guests
from harness import check, equal, run, suite, vmctl, wait_until
from topologies import NAMES

WHOLE_KIB = 256 * 1024
# What each is to be left with, in MiB; the last one weighs four times as much.
FLOORS = dict(zip(NAMES, (176, 144, 144)))
WEIGHTS = dict(zip(NAMES, (100, 100, 400)))
HEAVY = NAMES[-1]
WAIT_S = 120
TOOK = "5b1a9c20845641a5934fc7f9de20d1ba"


def meminfo(key):
    return int(re.search(rf"{key}: *(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])


class Hog:
    """All of the host's memory but a twelfth, in one program; and one that cannot stay within what its control group is to have, so that the
    kernel counts it as waiting for memory. Is something to be killed, it is these."""

    UNITS = ("vmmd-hog", "vmmd-hog-waits")

    def __enter__(self):
        kib = meminfo("MemAvailable") - meminfo("MemTotal") // 12
        check(kib > 0, "the host is short of memory by itself")
        self.start(self.UNITS[0], (), "python3", "-c", f"import time; hog = bytearray(b'h') * ({kib} << 10); time.sleep(3600)")
        # With more, pressure would be that of a control group, which is none of the policy's. What guests give up comes back to the host.
        wait_until("the hog has it", lambda: meminfo("MemAvailable") < meminfo("MemTotal") // 5, WAIT_S, 0.5)
        self.start(self.UNITS[1], ("--property=MemoryHigh=8M",), "sh", "-c", "head -c 256M /dev/zero | tail")

    @staticmethod
    def start(unit, options, *argv):
        started = run("systemd-run", f"--unit={unit}", "--property=OOMScoreAdjust=1000", *options, *argv)
        equal(started.status, 0, f"systemd-run {unit}: {started.err}")

    def __exit__(self, *_):
        for unit in self.UNITS:
            run("systemctl", "kill", "--signal=KILL", unit)
            run("systemctl", "reset-failed", unit)


def policy():
    return json.loads(vmctl("memory-policy", "--json"))


def domains():
    return {d["domain"]: d for d in policy()["domains"]}


def decisions(action):
    """Reasons for which the policy has done this, by domain."""
    found = {name: set() for name in NAMES}
    for d in policy()["decisions"]:
        if d["action"] == action and d.get("domain") in found:
            found[d["domain"]].add(d["reason"])
    return found


def is_whole():
    return all(f"Used memory:    {WHOLE_KIB} KiB" in vmctl("dominfo", name) for name in NAMES)


def watch_it_take():
    wait_until("each guest has given something up", lambda: all(d["taken_kib"] for d in domains().values()), WAIT_S, 0.5)
    equal(decisions("took"), {name: {"pressure"} for name in NAMES}, "why something was taken")
    seen = domains()
    light, heavy = (seen[name]["taken_kib"] for name in (NAMES[1], HEAVY))
    check(light >= heavy, f"the guest that weighs more has given up {heavy} KiB, another one {light}")
    check("pressure" in vmctl("memory-policy", "--history"), "the history does not say why")
    # For as long as there is pressure, and not below the floor.
    floor = FLOORS[NAMES[0]] * 1024
    wait_until("a guest is at its floor", lambda: domains()[NAMES[0]]["current_kib"] == floor, WAIT_S, 0.5)
    for name, d in domains().items():
        check(d["target_kib"] >= d["floor_kib"] == FLOORS[name] * 1024, f"'{name}' is to do with {d['target_kib']} KiB")
    check(NAMES[0] in vmctl("memory-policy"), "memory-policy does not show who gives up what")
    equal(guests[NAMES[0]].command("head -c 8M /dev/zero | wc -c", 60), str(8 << 20), "the guest's work meanwhile")
    check("pressure.memory.some.time=" in vmctl("domstats", NAMES[0], "--pressure"), "domstats does not know what the worker waited for")


@suite.case("a host under memory pressure takes what guests do not use, and gives it back", needs=[f"guest {name}" for name in NAMES])
def pressure():
    for name in NAMES:
        guests[name].command("modprobe virtio_balloon", 60)
        vmctl("memtune", name, "--live", "--min-guarantee", f"{FLOORS[name]}M", "--weight", str(WEIGHTS[name]))
    try:
        vmctl("memory-policy", "--on")
        check("waiting for pressure" in vmctl("memory-policy"), "the policy does not wait")
        with Hog():
            watch_it_take()
        wait_until("guests are given back what the host has again",
                   lambda: any("room" in reasons for reasons in decisions("gave").values()), WAIT_S, 0.5)
    finally:
        # The rest at once.
        run("vmctl", "memory-policy", "--off")
    wait_until("all guests have all of theirs again", is_whole, WAIT_S, 0.5)
    check("VMMD_REASON=pressure" in run("journalctl", "-o", "export", "-u", "vmmd", f"MESSAGE_ID={TOOK}").out, "the journal has no record")
