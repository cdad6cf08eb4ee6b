# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A guest with two NUMA nodes: the second has no processors, and is on huge pages that must come from the host's only node.

import pathlib

from harness import check, equal, vmctl, vmctl_fails

HUGE_PAGES = 32
SECOND_MIB = HUGE_PAGES * 2
POOL = pathlib.Path("/sys/devices/system/node/node0/hugepages/hugepages-2048kB")
NODES = "/sys/devices/system/node"


def xml(vcpus, first_mib):
    """What to put into the template's domain, which has so many processors and so much memory and SECOND_MIB more."""
    return {
        "</os>": """</os>
  <memoryBacking>
    <hugepages><page size='2' unit='MiB' nodeset='1'/></hugepages>
  </memoryBacking>
  <numatune><memnode cellid='1' mode='strict' nodeset='0'/></numatune>""",
        "<cpu mode='host-passthrough'/>": f"""<cpu mode='host-passthrough'>
    <numa>
      <cell id='0' cpus='0-{vcpus - 1}' memory='{first_mib}' unit='MiB'>
        <distances><sibling id='1' value='21'/></distances>
      </cell>
      <cell id='1' memory='{SECOND_MIB}' unit='MiB'/>
    </numa>
  </cpu>""",
    }


def free_pages():
    return int((POOL / "free_hugepages").read_text())


def fill_pool(domain):
    """The guest does not start before the host has its huge pages, and says how many are missing."""
    check(f"needs {HUGE_PAGES} free huge pages of 2048 KiB, NUMA node 0 of the host has 0: {HUGE_PAGES} are missing"
          in vmctl_fails("start", domain), "a start without huge pages")
    (POOL / "nr_hugepages").write_text(f"{HUGE_PAGES}\n")
    check(f"2048KiB: {HUGE_PAGES}\n" in vmctl("freepages", "--all"), "freepages does not have them")


def empty_pool():
    equal(free_pages(), HUGE_PAGES, "free huge pages when the guest is gone")
    (POOL / "nr_hugepages").write_text("0\n")


def check_guest(command, online, first_mib):
    """What the guest sees: 'command' runs a line in its shell, 'online' are its processors that are on."""
    equal(free_pages(), 0, "free huge pages while the guest runs")
    equal(command(f"cat {NODES}/node[01]/distance {NODES}/node0/cpulist").split("\n"), ["10 21", "21 10", online],
          "distances and processors of the guest's nodes")
    kib = command(rf"sed -n 's/.*MemTotal: *\([0-9]*\).*/\1/p' {NODES}/node[01]/meminfo").split()
    mib = [int(n) // 1024 for n in kib]
    # The kernel takes some of it for itself, wherever it was put.
    check(len(mib) == 2 and first_mib * 0.8 < mib[0] <= first_mib and 0 < mib[1] <= SECOND_MIB, f"the guest's nodes have {mib} MiB")
