# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Our own guests under this host's KVM: the programs of tests/guest, which are meson's suite 'kvm', where KVM has the semantics
# of hardware (SVM with nested paging). A machine for builds may have no KVM, or a paravirtual one. Where it has one, that suite
# runs there, and here only what depends on the kind of KVM.

import contextlib
import os
import re
import signal
import subprocess

from domain import JOB, processes
from harness import Skipped, check, equal, note, run, suite, wait_until

PROGRAMS = JOB / "kvm"
WORKER = "/usr/libexec/vmmd-worker"
# The programs with their deadlines in seconds, and what they are told but for the worker: how many daemons are killed, and that of the
# calls that can fail each seventh does.
DEADLINES = {"guests": 400, "control": 200, "hotplug": 100, "vcpus": 100, "kvm-faults": 300, "killed-daemon-kvm": 300, "sandbox": 200}
ARGUMENTS = {"kvm-faults": [str(PROGRAMS), "7"], "killed-daemon-kvm": [f"{PROGRAMS}/guest-spin.elf", "3"]}
# Interrupts, processors, resets, rings.
ALWAYS = ("guests", "vcpus")
UDEV = ("systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "systemd-udevd.service")


@contextlib.contextmanager
def no_udev():
    """KVM has it told of each machine that comes and goes, here some hundreds: it would be busy for as long as the tests are."""
    run("systemctl", "stop", *UDEV)
    try:
        yield
    finally:
        run("systemctl", "start", *UDEV)


def results(text):
    """Of a program's TAP: the names of the tests that passed, and of those that did not."""
    plan = re.search(r"^\s*1\.\.(\d+)$", text, re.M)
    lines = re.findall(r"^\s*(ok|not ok) \d+ - (\S+)", text, re.M)
    passed, failed = ([name for verdict, name in lines if verdict == want] for want in ("ok", "not ok"))
    missing = (int(plan[1]) if plan else 1) - len(lines)
    return passed, failed + [f"{missing} more, without a result"] * (missing > 0)


def run_program(name):
    """Its status and what it wrote: into a file, so that whoever outlives it keeps nobody waiting."""
    log = PROGRAMS / f"{name}.log"
    line = ["timeout", "--kill-after=5", str(DEADLINES[name]), f"{PROGRAMS}/test-{name}", WORKER, *ARGUMENTS.get(name, [str(PROGRAMS)])]
    with open(log, "wb") as out:
        done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False,
                              env={**os.environ, "LD_LIBRARY_PATH": str(PROGRAMS), "CMOCKA_MESSAGE_OUTPUT": "TAP"})
    return done.returncode, log.read_text(errors="replace")


def program_case(name):
    # No other worker runs after that.
    @suite.case(f"own guests: {name}", needs="the default network")
    def case():
        if (PROGRAMS / "elsewhere").exists() and name not in ALWAYS:
            raise Skipped("the machine that built it has a KVM for meson's suite 'kvm'")
        try:
            with no_udev():
                status, text = run_program(name)
            passed, failed = results(text)
            if status or failed:
                note("\n".join(text.splitlines()[-60:]))
            check(status != 124, f"no end within {DEADLINES[name]} s, after {len(passed)} tests")
            equal((failed, status), ([], 0), f"tests that failed, of {len(passed) + len(failed)}, and status")
            note(f"{len(passed)} tests passed")
            wait_until("its workers are gone", lambda: not processes("vmmd-worker"), 20)
        finally:
            # What a test that failed has left is not for others to stumble over.
            for pid in processes("vmmd-worker"):
                os.kill(pid, signal.SIGKILL)


for program in DEADLINES:
    program_case(program)
