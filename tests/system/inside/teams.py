# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A team of two uplinks against the kernel's own bonding driver in 802.3ad mode, which stands in a network namespace as
# the switch would, and an unmodified Debian guest that reaches it. Slow LACP: an emulated host may stand
# still for the three seconds of the fast one.

import pathlib

from domain import JOB, write_xml
from harness import Skipped, check, run, suite, vmctl, wait_until
from networks import boot, guests, interface, mac_of

BLUE = """<network>
  <name>blue</name>
  <forward mode='bridge'><interface dev='p0'/><interface dev='p1'/></forward>
  <vmmd:team xmlns:vmmd='urn:vmmd:network:1' policy='lacp'>
    <vmmd:detect pollMs='10'/><vmmd:lacp rate='slow'/>
  </vmmd:team>
</network>
"""
GUEST, PARTNER = "10.7.0.1", "10.7.0.2"


def inside(*argv):
    """Run in the partner's namespace."""
    result = run("ip", "netns", "exec", "other", *argv)
    check(result.status == 0, f"{' '.join(argv)}: {result.err}")
    return result.out


def ip(*lines):
    for line in lines:
        result = run("ip", *line.split())
        check(result.status == 0, f"ip {line}: {result.err}")


def aggregated():
    """How many links the bond's active aggregator has."""
    text = inside("cat", "/proc/net/bonding/bond0")
    return int(text.split("Number of ports: ")[1].split()[0])


@suite.case("LACP with the kernel's bonding driver", needs="service starts")
def bonding():
    if run("modprobe", "bonding").status != 0:
        raise Skipped("this kernel has no bonding driver")
    ip("netns add other",
       "link add p0 type veth peer name q0 netns other",
       "link add p1 type veth peer name q1 netns other",
       "link set p0 up", "link set p1 up",
       "-n other link add bond0 type bond mode 802.3ad miimon 50 lacp_rate slow",
       "-n other link set q0 master bond0", "-n other link set q1 master bond0",
       f"-n other address add {PARTNER}/24 dev bond0", "-n other link set bond0 up")
    path = JOB / "blue.xml"
    path.write_text(BLUE)
    vmctl("net-define", str(path))
    vmctl("net-start", "blue")
    wait_until("both links are one", lambda: aggregated() == 2, 60, 0.5)
    text = inside("cat", "/proc/net/bonding/bond0")
    mac = pathlib.Path("/sys/class/net/p0/address").read_text().strip()
    check(f"Partner Mac Address: {mac}" in text, f"the bond's partner is another than {mac}:\n{text}")


@suite.case("a guest reaches what is behind the bond", needs="LACP with the kernel's bonding driver")
def guest_on_team():
    vmctl("define", write_xml("team1", 1, **{
        "root=/dev/vda rw": "root=/dev/vda ro init=/bin/bash",
        "<target dev='vda' bus='virtio'/>": "<target dev='vda' bus='virtio'/><readonly/><shareable/>",
        "<memory unit='MiB'>512<": "<memory unit='MiB'>256<",
        "</devices>": interface("team1").replace("'red'", "'blue'")}))
    console = guests["team1"] = boot("team1", GUEST)
    check(" 0% packet loss" in console.command(f"ping -n -q -c 3 -W 5 {PARTNER} | tail -n 3", 90), "no way out")
    check(mac_of("team1") in inside("ip", "neigh", "show", GUEST), "the partner sees another MAC address")


@suite.case("a team ends with its network", needs="LACP with the kernel's bonding driver")
def team_ends():
    if "team1" in guests:
        guests.pop("team1").close()
    run("vmctl", "destroy", "team1")
    run("vmctl", "undefine", "team1")
    vmctl("net-destroy", "blue")
    vmctl("net-undefine", "blue")
    run("ip", "link", "delete", "p0")
    run("ip", "link", "delete", "p1")
    run("ip", "netns", "delete", "other")
