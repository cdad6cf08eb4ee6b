# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The three unmodified Debian guests of all cases about networks. They run a shell as their first process, from one disk that
# they share and only read: what is tried is the network, not the boot. Each has an interface of every network that a case
# of topologies.py has made for it before.

import json

import processors
from domain import write_xml
from harness import Console, Failed, check, equal, note, run, suite, vmctl
from topologies import NAMES, interfaces

BOOT_S = 400

# Who gets memory plugged in (memory.py).
PLUGS = "net1"
ROOM = "<maxMemory slots='1' unit='GiB'>1</maxMemory>\n  "

guests = {}


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


def boot_shell(name):
    """Start it and wait for its shell. A boot that hangs is shown and tried once more, never silently."""
    for attempt in (1, 2):
        vmctl("start", name)
        console = Console(name)
        try:
            console.expect("# ", BOOT_S)
            console.command("stty cols 500; PS1='# '; dmesg -n 1")
            return console
        except Failed as e:
            console.close()
            if attempt == 2:
                raise
            note(f"boot of '{name}' failed, trying once more: {e}")
            run("vmctl", "destroy", name)


def boot(name):
    """The same, and give its interfaces their addresses."""
    console = boot_shell(name)
    console.command("modprobe -a virtio_net af_packet; ip link set lo up; mkdir -p /dev/shm; mount -t tmpfs tmpfs /dev/shm", 60)
    seen = console.command("cat /sys/class/net/eth*/address").split()
    equal(seen, [mac for mac, _, _ in interfaces[name]], f"MAC addresses that '{name}' sees")
    for number, (_, _, address) in enumerate(interfaces[name]):
        add = f"ip address add {address} dev eth{number}; " if address else ""
        console.command(f"{add}ip link set eth{number} up")
    return console


def define(name):
    vmctl("define", write_xml(name, 1, **{
        "root=/dev/vda rw": "root=/dev/vda ro quiet init=/bin/bash",
        "<target dev='vda' bus='virtio'/>": "<target dev='vda' bus='virtio'/><readonly/><shareable/>",
        **processors.replacements(name),
        "<memory unit='MiB'>512<": (ROOM if name == PLUGS else "") + "<memory unit='MiB'>256<",
        "</devices>": "\n".join(xml for _, xml, _ in interfaces.get(name, [])) + "\n  </devices>"}))


def guest_case(name):
    @suite.case(f"guest {name}", needs="the default network")
    def case():
        define(name)
        guests[name] = boot(name)
        processors.look_at(name, guests[name].command)
        if name in processors.cpus:
            processors.hand_on(name)
        check(nics(name).keys() == {mac for mac, _, _ in interfaces[name]}, "domiflist names others")


for guest in NAMES:
    guest_case(guest)
