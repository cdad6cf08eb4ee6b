# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The end of guests and networks: nothing of them is left.

import os
import signal

from bridges import MACS, taps
from domain import processes
from guests import guests, target_of
from harness import check, equal, note, run, suite, vmctl, wait_until
from topologies import NAMES, end_network, links, network_workers, undo


@suite.case("taps end with their domain", needs="a guest on a bridge, a NIC and a VLAN of the host's")
def bridged_end():
    vmctl("destroy", "net2")
    guests.pop("net2").close()
    check(not set(taps.values()) & set(links()), f"left behind: {links()}")
    # Both die: the tap goes by itself, the macvtap with the next daemon.
    before = processes("vmmd-worker")
    vmctl("start", "net2")
    again = {target_of("net2", mac) for mac in MACS}
    check(again <= set(links()), f"not there: {links()}")
    worker = next(pid for pid in processes("vmmd-worker") if pid not in before)
    run("systemctl", "kill", "--kill-whom=main", "-s", "STOP", "vmmd.service")
    os.kill(worker, signal.SIGKILL)
    run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "vmmd.service")
    wait_until("the daemon is back", lambda: run("vmctl", "list").status == 0, 30, 0.5)
    wait_until("nothing is left", lambda: not again & set(links()), 20)
    equal(vmctl("domstate", "net2"), "shut off", "state")


@suite.case("networks end", needs="the default network")
def networks_end():
    for name in NAMES:
        if name in guests:
            guests.pop(name).close()
        run("vmctl", "destroy", name)
        run("vmctl", "undefine", name)
    equal(processes("vmmd-worker"), sorted(network_workers().values()), "workers without guests")
    for line in vmctl("net-list", "--all").splitlines()[2:]:
        end_network(line.split()[0])
    for program in ("vmmd-worker", "dnsmasq", "slirp4netns", "pasta", "passt"):
        wait_until(f"{program} ended", lambda name=program: not processes(name), 20, 0.2)


@suite.case("the host's NICs and bridges are given back", needs="networks end")
def given_back():
    for line in undo:
        result = run(*line.split())
        note(f"{line}: {result.err.strip()}") if result.status else None
    equal([name for name in links() if name not in ("lo", "bond0")], [], "interfaces of the host")
