# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The three unmodified Debian guests of all cases about networks. They run a shell as their first process, from one disk that
# they share and only read: what is tried is the network, not the boot. Each has an interface of every network that a case
# of topologies.py has made for it before. The memory of one of them is two nodes'.

import json
import pathlib

from domain import write_xml
from harness import Console, Failed, check, equal, note, run, suite, vmctl, vmctl_fails
from topologies import NAMES, interfaces

BOOT_S = 400

# A quarter of its memory is a node without processors, and 32 huge pages that must come from the host's only node.
TWO_NODES = "net2"
HUGE_PAGES = 32
CELLS = {
    "</os>": """</os>
  <memoryBacking>
    <hugepages><page size='2' unit='MiB' nodeset='1'/></hugepages>
  </memoryBacking>
  <numatune><memnode cellid='1' mode='strict' nodeset='0'/></numatune>""",
    "<cpu mode='host-passthrough'/>": """<cpu mode='host-passthrough'>
    <numa>
      <cell id='0' cpus='0' memory='192' unit='MiB'>
        <distances><sibling id='1' value='21'/></distances>
      </cell>
      <cell id='1' memory='64' unit='MiB'/>
    </numa>
  </cpu>""",
}
POOL = pathlib.Path("/sys/devices/system/node/node0/hugepages/hugepages-2048kB")
NODES = "/sys/devices/system/node"

# Who gets memory plugged in (memory.py).
PLUGS = "net1"
ROOM = "<maxMemory slots='1' unit='GiB'>1</maxMemory>\n  "

guests = {}


def free_huge_pages():
    return int((POOL / "free_hugepages").read_text())


def fill_pool():
    """The guest does not start before the host has its huge pages, and says how many are missing."""
    check(f"needs {HUGE_PAGES} free huge pages of 2048 KiB, NUMA node 0 of the host has 0: {HUGE_PAGES} are missing"
          in vmctl_fails("start", TWO_NODES), "a start without huge pages")
    (POOL / "nr_hugepages").write_text(f"{HUGE_PAGES}\n")
    check(f"2048KiB: {HUGE_PAGES}\n" in vmctl("freepages", "--all"), "freepages does not have them")


def empty_pool():
    equal(free_huge_pages(), HUGE_PAGES, "free huge pages when the guest is gone")
    (POOL / "nr_hugepages").write_text("0\n")


def check_nodes():
    equal(free_huge_pages(), 0, "free huge pages while the guest runs")
    console = guests[TWO_NODES]
    equal(console.command(f"cat {NODES}/node[01]/distance {NODES}/node0/cpulist").split("\n"), ["10 21", "21 10", "0"],
          "distances and processors of the guest's nodes")
    kib = console.command(rf"sed -n 's/.*MemTotal: *\([0-9]*\).*/\1/p' {NODES}/node[01]/meminfo").split()
    mib = [int(n) // 1024 for n in kib]
    # The kernel takes some 40 MiB for itself, wherever it was put.
    check(len(mib) == 2 and 100 < mib[0] <= 192 and 0 < mib[1] <= 64 and sum(mib) > 180, f"the guest's nodes have {mib} MiB")


def device(name, mac):
    """What the guest calls the interface with this MAC address, or an empty string."""
    return guests[name].command(f"grep -l {mac} /sys/class/net/*/address | cut -d / -f 5")


def pings(name, target, options="-c 2 -W 5"):
    """Whether all the answers come."""
    return " 0% packet loss" in guests[name].command(f"ping -n -q {options} {target} 2>&1 | tail -n 3; true", 120)


def hears_nothing(name, target):
    """Whether not one answer comes."""
    return "100% packet loss" in guests[name].command(f"ping -n -q -c 1 -W 2 {target} 2>&1 | tail -n 3; true")


def nics(name):
    """The domain's interfaces as the service sees them, by their MAC addresses."""
    return {nic["mac"]: nic for nic in json.loads(vmctl("domiflist", name, "--json"))}


def target_of(name, mac):
    """The interface's name on the host."""
    return nics(name)[mac]["target"]


def set_up(console, name):
    console.expect("# ", BOOT_S)
    console.command("stty cols 500; PS1='# '; dmesg -n 1")
    console.command("modprobe -a virtio_net af_packet; ip link set lo up; mkdir -p /dev/shm; mount -t tmpfs tmpfs /dev/shm", 60)
    seen = console.command("cat /sys/class/net/eth*/address").split()
    equal(seen, [mac for mac, _, _ in interfaces[name]], f"MAC addresses that '{name}' sees")
    for number, (_, _, address) in enumerate(interfaces[name]):
        add = f"ip address add {address} dev eth{number}; " if address else ""
        console.command(f"{add}ip link set eth{number} up")


def boot(name):
    """Start it and give its interfaces their addresses. A boot that hangs is shown and tried once more, never silently."""
    for attempt in (1, 2):
        vmctl("start", name)
        console = Console(name)
        try:
            set_up(console, name)
            return console
        except Failed as e:
            console.close()
            if attempt == 2:
                raise
            note(f"boot of '{name}' failed, trying once more: {e}")
            run("vmctl", "destroy", name)


def define(name):
    vmctl("define", write_xml(name, 1, **{
        "root=/dev/vda rw": "root=/dev/vda ro quiet init=/bin/bash",
        "<target dev='vda' bus='virtio'/>": "<target dev='vda' bus='virtio'/><readonly/><shareable/>",
        "<memory unit='MiB'>512<": (ROOM if name == PLUGS else "") + "<memory unit='MiB'>256<",
        **(CELLS if name == TWO_NODES else {}),
        "</devices>": "\n".join(xml for _, xml, _ in interfaces[name]) + "\n  </devices>"}))


def guest_case(name):
    @suite.case(f"guest {name}", needs="the default network")
    def case():
        define(name)
        if name == TWO_NODES:
            fill_pool()
        guests[name] = boot(name)
        if name == TWO_NODES:
            check_nodes()
        check(nics(name).keys() == {mac for mac, _, _ in interfaces[name]}, "domiflist names others")


for guest in NAMES:
    guest_case(guest)
