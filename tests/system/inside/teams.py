# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A team of two uplinks against the kernel's own bonding driver in 802.3ad mode, which stands in a network namespace as
# the switch would, and an unmodified Debian guest whose TCP connection goes over it. Slow LACP: an emulated host may stand
# still for the three seconds of the fast one.

import os
import pathlib
import subprocess
import time

from domain import JOB, write_xml
from harness import Skipped, check, equal, note, run, suite, vmctl, wait_until
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
GOT = JOB / "got"
N_CHUNKS, CHUNK = 400, 20000


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


def received():
    return GOT.stat().st_size if GOT.exists() else 0


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


@suite.case("TCP goes on while each link of a team is cut", needs="a guest reaches what is behind the bond")
def cut():
    console = guests["team1"]
    console.command("mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm")
    console.command(f"head -c {N_CHUNKS * CHUNK} /dev/urandom >/dev/shm/data", 60)
    want = console.command("sha256sum </dev/shm/data").split()[0]
    server = subprocess.Popen(["ip", "netns", "exec", "other", "socat", "-u", "TCP-LISTEN:7000,reuseaddr",
                               f"OPEN:{GOT},creat,trunc"])
    time.sleep(1)
    console.command(f"{{ for i in $(seq 0 {N_CHUNKS - 1}); do dd if=/dev/shm/data bs={CHUNK} skip=$i count=1 2>/dev/null; "
                    f"sleep 0.1; done | nc -N {PARTNER} 7000 >/dev/null; }} 2>/dev/null & sleep 1")
    wait_until("data comes", received, 30)
    for link in ("q0", "q1"):
        ip(f"-n other link set {link} down")
        before, start = received(), time.monotonic()
        # More than what was on its way.
        wait_until(f"data comes without {link}", lambda: received() > before + 5 * CHUNK, 60)
        note(f"{link} cut: 5 chunks more after {time.monotonic() - start:.1f} s")
        check(server.poll() is None, "the transfer was over before the cut; it proves nothing")
        equal(aggregated(), 1, f"links without {link}")
        check(mac_of("team1") in inside("ip", "neigh", "show", GUEST), "the partner sees another MAC address")
        ip(f"-n other link set {link} up")
        wait_until("both links are one again", lambda: aggregated() == 2, 60, 0.5)
    equal(server.wait(240), 0, "status of the receiver")
    equal(run("sha256sum", str(GOT)).out.split()[0], want, "what has come, against what was sent")
    equal(console.command("cat /sys/class/net/eth0/address"), mac_of("team1"), "the guest's own MAC address")


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
    if GOT.exists():
        os.unlink(GOT)
