# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Domains of the system tests: XML made from the demo guest's template, and what they leave in /proc.

import os
import pathlib
import re
import shutil

from harness import check, run

JOB = pathlib.Path(os.environ.get("VMMD_JOB", "/job"))
GUEST = JOB / "guest"


def write_xml(name, vcpus=1, disk=None, **replace):
    """XML for a guest; 'disk' is a copy of the guest's disk that is made when it is not there."""
    text = (GUEST / "domain.xml.in").read_text()
    text = text.replace("@NAME@", name).replace("@VCPUS@", str(vcpus)).replace("@DIR@", str(GUEST))
    if disk:
        path = GUEST / disk
        if not path.exists():
            check(run("cp", "--sparse=always", str(GUEST / "disk.img"), str(path)).status == 0, "no room for a disk")
        text = text.replace(str(GUEST / "disk.img"), str(path))
    for old, new in replace.items():
        check(old in text, f"the template has no '{old}'")
        text = text.replace(old, new)
    path = JOB / f"{name}.xml"
    path.write_text(text)
    return str(path)


def remove_disk(disk):
    (GUEST / disk).unlink(missing_ok=True)


def processes(name):
    """Process ids of the executable 'name'."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.path.basename(os.readlink(f"/proc/{entry}/exe").removesuffix(" (deleted)")) == name:
                    found.append(int(entry))
            except OSError:
                pass
    return sorted(found)


def is_daemon(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text() == "vmmd\n"
    except OSError:
        return False


def daemons():
    """Process ids of the daemon: its spawner and its gateways' keepers are children that share its executable."""
    return [pid for pid in processes("vmmd") if is_daemon(pid)]


def status_of(path):
    """/proc/…/status as a dictionary."""
    text = pathlib.Path(path).read_text()
    return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.M))


def free_bytes():
    return shutil.disk_usage(JOB).free
