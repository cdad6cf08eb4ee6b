# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the installed service refuses: one line that says what to do, before anything is made or changed.

import pathlib
import platform

from domain import GUEST, JOB, processes, remove_disk, write_xml
from harness import Skipped, check, equal, suite, vmctl, vmctl_fails


def refused_start(name, *words, **replace):
    """A domain that must not start: the error holds the words, and nothing is left behind."""
    vmctl("define", write_xml(name, **replace))
    try:
        error = vmctl_fails("start", name)
        for word in words:
            check(word in error, f"the error does not name '{word}': {error}")
        equal(vmctl("domstate", name), "shut off", "state after a refused start")
    finally:
        vmctl("undefine", name)


@suite.case("refused: missing disk", needs="define")
def missing_disk():
    refused_start("nodisk", "/job/guest/nothing.img", **{"/job/guest/disk.img": "/job/guest/nothing.img"})


@suite.case("refused: kernel that is no kernel", needs="define")
def no_kernel():
    refused_start("nokernel", "/job/guest/domain.xml.in",
                  **{"/job/guest/vmlinuz": "/job/guest/domain.xml.in"})


@suite.case("refused: more memory than there is", needs="define")
def too_much_memory():
    refused_start("huge", "memory", **{"<memory unit='MiB'>512<": "<memory unit='TiB'>4<"})


@suite.case("refused: cores of its own, where the kernel has no core scheduling", needs="define")
def no_core_scheduling():
    config = pathlib.Path(f"/boot/config-{platform.release()}").read_text()
    if "CONFIG_SCHED_CORE=y" in config:
        raise Skipped("this kernel has it")
    refused_start("alone", "coreScheduling", "CONFIG_SCHED_CORE", **{
        "<memory unit=": "<metadata><v:cpuPolicy xmlns:v='urn:vmmd:domain:1' coreScheduling='yes'/></metadata><memory unit="})


@suite.case("refused: image in use, and by whom", needs="define")
def image_in_use():
    vmctl("start", "deb1")
    try:
        vmctl("define", write_xml("thief", disk="deb1.img"))
        error = vmctl_fails("start", "thief")
        check("deb1.img" in error and "deb1" in error.replace("deb1.img", ""), f"it does not say who holds it: {error}")
        equal(len(processes("vmmd-worker")), 1, "number of workers")
    finally:
        vmctl("destroy", "deb1")
        vmctl("undefine", "thief")


@suite.case("refused: name taken", needs="define")
def name_taken():
    xml = (JOB / "deb1.xml").read_text().replace(
        "<name>", "<uuid>11111111-2222-4333-8444-555555555555</uuid>\n  <name>")
    path = JOB / "taken.xml"
    path.write_text(xml)
    error = vmctl_fails("define", str(path))
    check("domain 'deb1' already exists with uuid " + vmctl("domuuid", "deb1") in error, error)


@suite.case("refused: network interface", needs="define")
def interface():
    path = write_xml("wired", **{"</devices>": "<interface type='vhostuser'/></devices>"})
    error = vmctl_fails("define", path)
    check("interface" in error and "vhost-user is not supported" in error, f"it does not say what is refused: {error}")
    check("wired" not in vmctl("list", "--all", "--name").split(), "it was defined all the same")


@suite.case("refused: DOCTYPE", needs="define")
def doctype():
    path = JOB / "doctype.xml"
    path.write_text("<!DOCTYPE domain [<!ENTITY a 'x'>]>\n" + (JOB / "deb1.xml").read_text())
    check("DOCTYPE" in vmctl_fails("define", str(path)), "the error does not say DOCTYPE")


@suite.case("undefine and the last look", needs="define")
def undefine():
    equal(vmctl("undefine", "deb1").strip(), "Domain 'deb1' has been undefined", "answer to undefine")
    equal(vmctl("list", "--all", "--name"), "", "names")
    equal(processes("vmmd-worker"), [], "workers")
    remove_disk("deb1.img")
    check((GUEST / "disk.img").exists(), "the pristine disk has gone")
