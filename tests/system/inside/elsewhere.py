# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The other host, whose processor has fewer features: what it makes of definitions with the exact processors that guests had on the first
# one (processors.py).

import processors
from domain import write_xml
from guests import boot_shell, define
from harness import check, equal, suite, vmctl, vmctl_fails


@suite.case("another host: its processor is like the recorded one", needs="service starts")
def recorded():
    own = processors.features(processors.own())
    equal(own & processors.LACKS, set(), "features that this host is not to have")
    check(processors.features(processors.RECORD.read_text()) <= own, f"this host lacks what is recorded: it has {sorted(own)}")


def refused(name, cpu, cpuid):
    """A definition that starts on the first host and not here: the error names what is missing."""
    processors.give(name, cpu, cpuid)
    vmctl("define", write_xml(name, **processors.replacements(name)))
    try:
        error = vmctl_fails("start", name)
        check(any(feature in error for feature in processors.LACKS), f"the error does not name a feature: {error}")
        equal(vmctl("domstate", name), "shut off", "state after a refused start")
    finally:
        vmctl("undefine", name)


@suite.case("another host: a processor that it cannot give is refused by name", needs="service starts")
def whole():
    taken = processors.handed_on("net2")
    refused("whole", taken["cpu"], taken["cpuid"])
    refused("features", taken["cpu"], "")


def leaves(cpuid):
    """All but the one of KVM's that has frequencies, which are each host's own."""
    return [line.strip() for line in cpuid.splitlines() if "'0x40000010'" not in line]


@suite.case("another host: a guest with the baseline starts, and sees the same", needs="service starts")
def common():
    taken = processors.handed_on("net3")
    processors.give("common", taken["cpu"], taken["cpuid"])
    define("common")
    with boot_shell("common") as console:
        processors.look_at("common", console.command)
        equal(processors.flags["common"], set(taken["flags"]), "flags that the guest sees here, and on the first host")
        equal(leaves(processors.element("cpuid", vmctl("dumpxml", "common"))), leaves(taken["cpuid"]), "the leaves that it was given")
    vmctl("destroy", "common")
    vmctl("undefine", "common")
