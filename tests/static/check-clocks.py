#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-clocks.py ROOT: the wall clock is read where this table says, and why; everything else goes by a clock that nobody sets. No
timer is armed on it. docs/PROMISES.md, R11."""
import pathlib
import re
import sys

WALL = re.compile(r"CLOCK_REALTIME|CLOCK_TAI|\btime\(NULL\)|\bgettimeofday\(")
FOLDERS = ("config", "vmm-core", "devices", "daemon", "client")
ALLOWED = {
    "client/capture.c": "time stamps in a file of captured frames",
    "client/verbs-event.c": "the time that is printed before an event",
    "client/verbs-top.c": "the time that is printed above a table",
    "daemon/doctor-state.c": "whether a certificate has expired",
    "daemon/domain-balloon.c": "when a guest last told of its memory, as it is shown",
    "daemon/job.c": "when a job began and ended, as it is shown",
    "daemon/manager.c": "when the daemon began, as it is shown",
    "daemon/memory-policy.c": "when something was decided, as it is shown",
    "daemon/network-team.c": "when a failover was, as it is shown",
    "daemon/resources.c": "the guest's clock, when its XML gives it another time",
    "daemon/worker-log.c": "the time before a line of a log",
    "daemon/rpc-io-tls.c": "whether a certificate has expired since its connection began",
    "daemon/rpc-stream.c": "what a reader on another host adds to the times of packets",
    "daemon/tls-store.c": "whether a list of revoked certificates is out of date",
    "devices/legacy/mc146818.c": "the guest's real-time clock",
    "vmm-core/seccomp-table.c": "a flag of futex(2) that libc uses",
}


def code_of(path):
    text = path.read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda comment: "\n" * comment.group().count("\n"), text, flags=re.S)


def main(root):
    bad, used = [], set()
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.[ch]")):
            name = str(path.relative_to(root))
            for number, line in enumerate(code_of(path).splitlines(), 1):
                if "sd_event_add_time" in line and "REALTIME" in line:
                    bad.append(f"{name}:{number}: a timer on the wall clock")
                elif WALL.search(line):
                    used.add(name)
                    if name not in ALLOWED:
                        bad.append(f"{name}:{number}: the wall clock; take CLOCK_MONOTONIC or CLOCK_BOOTTIME: {line.strip()}")
    bad += [f"check-clocks.py: {name} does not read the wall clock any more" for name in sorted(set(ALLOWED) - used)]
    print("\n".join(bad) or f"{len(used)} files read the wall clock, for what only that can say")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
