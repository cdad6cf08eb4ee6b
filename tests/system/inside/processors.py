# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Processors of guests that are to run on more than one host. This host and another one, whose record lies beside this file, have a baseline:
# one Debian guest is given it, another one all that this host has. What they were given is handed on to the other host
# (elsewhere.py), which has fewer features: the first starts there and sees the same, the second is refused.

import base64
import json
import pathlib
import re

from domain import JOB
from harness import Skipped, check, equal, note, run, suite, vmctl

# <cpu> of a host like it but for these, as "hypervisor-cpu-baseline" of its "domcapabilities" says it.
RECORD = pathlib.Path(__file__).parent / "other-host.xml"
LACKS = {"avx2", "bmi2", "adx"}
# What a definition of the first host's comes by to the second one.
HANDED_ON = JOB / "handed-on"

# What a guest's kernel makes no use of here, whatever it was given: TCG takes XSETBV from KVM's guests itself, so that KVM does not learn
# how large the state has become, and Linux finds that CPUID does not tell the truth about it.
NOT_SEEN = {"xsave", "xsaveopt", "xsavec", "xgetbv1", "avx", "avx2", "fma", "f16c"}

# What is put in the place of the template's <cpu>, and in front of its <memory>: by the guest's name.
cpus, records = {}, {}
flags = {}


def give(name, cpu, cpuid=""):
    """The guest of this name is to have this processor, with these leaves."""
    cpus[name] = cpu
    records[name] = f"<metadata>{cpuid}</metadata>" if cpuid else ""


def replacements(name):
    """For domain.write_xml()."""
    if name not in cpus:
        return {}
    return {"<cpu mode='host-passthrough'/>": cpus[name], "<memory unit=": f"{records[name]}<memory unit="}


def exact(cpu):
    """The same, to be given as it is written: no more, and no less."""
    return cpu.replace("<cpu ", "<cpu check='full' ", 1).strip()


def features(cpu):
    """Names of all features of a <cpu>, those of its model, too."""
    path = JOB / "features.xml"
    path.write_text(cpu)
    expanded = vmctl("hypervisor-cpu-baseline", str(path), "--features")
    return set(re.findall(r"policy='require' name='([^']+)'", expanded))


def own():
    """What this host can give."""
    path = JOB / "own.xml"
    path.write_text(vmctl("domcapabilities"))
    return vmctl("hypervisor-cpu-baseline", str(path))


def flags_of(command):
    """What the guest's kernel says of its processor; 'command' runs a line in the guest."""
    return set(command("grep -m 1 ^flags /proc/cpuinfo").partition(":")[2].split())


def flag_of(feature):
    """What Linux calls it."""
    return {"pclmuldq": "pclmulqdq", "tsc-deadline": "tsc_deadline_timer", "vmcb-clean": "vmcbclean"}.get(
        feature, re.sub(r"[.-]", "_", feature.replace("cr8legacy", "cr8_legacy")))


def look_at(name, command):
    """What the guest 'name' sees of its processor is what it was given: of all features that this host could give, and that its own
    kernel shows."""
    if name not in cpus:
        return
    flags[name] = seen = flags_of(command)
    given = features(element("cpu", vmctl("dumpxml", name)))
    host = flags_of(lambda line: run("sh", "-c", line).out)
    shown = {f for f in features(own()) - NOT_SEEN if flag_of(f) in host}
    note(f"{name}: {len(given)} features, {len(seen)} flags, {len(shown)} compared")
    equal({f for f in shown if flag_of(f) in seen}, shown & given, f"features that '{name}' sees")
    check(len(shown) > 40, f"only {sorted(shown)} can be compared")


def element(name, xml):
    return re.search(rf"<((?:\w+:)?{name})\b.*?</\1>", xml, re.S)[0]


def hand_on(name):
    """To the other host: what the guest was given, and what it sees. ../run takes it from here."""
    xml = vmctl("dumpxml", name)
    found = {"cpu": element("cpu", xml), "cpuid": element("cpuid", xml), "flags": sorted(flags[name])}
    check("check='full'" in found["cpu"], f"the live XML is not exact: {found['cpu']}")
    note(f"handed on: {name} {base64.b64encode(json.dumps(found).encode()).decode()}")


def handed_on(name):
    path = HANDED_ON / f"{name}.json"
    if not path.exists():
        raise Skipped("the first host has handed nothing on: only a run of all cases has two")
    return json.loads(path.read_text())


@suite.case("a baseline of two hosts' processors", needs="service starts")
def baseline():
    path = JOB / "two-hosts.xml"
    path.write_text(own() + RECORD.read_text())
    common = vmctl("hypervisor-cpu-baseline", str(path))
    check(LACKS <= features(own()), "this host lacks what it is to have more than the other")
    equal(features(common) & LACKS, set(), "features of the baseline that the other host lacks")
    equal(features(common), features(own()) & features(RECORD.read_text()), "the baseline's features")
    give("net3", exact(common))
    give("net2", "<cpu mode='host-model'/>")
