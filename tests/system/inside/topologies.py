# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The networks that the guests of guests.py are on, and what stands at their other ends: namespaces that play the rest of
# the world.

import json
import pathlib

from domain import JOB, processes
from harness import Skipped, check, equal, run, suite, vmctl, vmctl_fails, wait_until

NAMES = ("net1", "net2", "net3")
# What takes the topologies that were made apart again, a command each.
undo = []
# Of each guest: the interfaces that it will have, in their order, as (MAC address, XML, address to give it or None).
interfaces = {name: [] for name in NAMES}

# An isolated network with all three. What net3's first interface says and hears is copied to one of net2's that comes later, its
# second, or its fifth if it is on bridges, too. An interface of the portgroup 'wild' may lie about its MAC address.
RED = """<network xmlns:vmmd='urn:vmmd:network:1'>
  <name>red</name>
  <vmmd:switch>
    <vmmd:mirror from='net3/net0' dir='both' to='net2/net1'/>
    <vmmd:mirror from='net3/net0' dir='both' to='net2/net4'/>
  </vmmd:switch>
  <portgroup name='wild'><vmmd:switch forgedTransmits='yes' stormPps='200'/></portgroup>
</network>
"""
# NAT for net1, IPv4 and IPv6, towards an interface of the host that leads nowhere.
GREEN = """<network>
  <name>green</name>
  <forward mode='nat'/>
  <domain name='green.test'/>
  <ip address='10.8.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.8.0.100' end='10.8.0.120'/></dhcp>
  </ip>
  <ip family='ipv6' address='fd08::1' prefix='64'/>
</network>
"""
GREEN_MAC = "52:54:00:00:08:01"
OUTSIDE, OUTSIDE6 = "192.0.2.1", "2001:db8::1"
OUTSIDE_LINK = f"""ip link add outside type dummy
ip address add {OUTSIDE}/24 dev outside
ip address add {OUTSIDE6}/64 dev outside nodad
ip link set outside up
ip route add default via 192.0.2.254
ip -6 route add default via 2001:db8::ff"""

# Three interfaces of net2: in a bridge, on a NIC of the host's, in a VLAN of a bridge.
BRIDGE_MAC, DIRECT_MAC, VLAN_MAC = "52:54:00:00:07:02", "52:54:00:00:06:02", "52:54:00:00:05:02"
BRIDGES = """ip netns add peer
ip link add br7 type bridge
ip link set br7 up
ip link add port7 type veth peer name eth0 netns peer
ip link set port7 master br7 up
ip link add nic7 type veth peer name eth1 netns peer
ip link set nic7 up
ip link add br6 type bridge vlan_filtering 1
ip link set br6 up
ip link add port6 type veth peer name eth2 netns peer
ip link set port6 master br6 up
bridge vlan del dev port6 vid 1
bridge vlan add dev port6 vid 42 pvid untagged
ip -n peer address add 10.7.0.2/24 dev eth0
ip -n peer address add 10.6.0.2/24 dev eth1
ip -n peer address add 10.5.0.2/24 dev eth2
ip -n peer link set eth0 up
ip -n peer link set eth1 up
ip -n peer link set eth2 up"""
BRIDGES_BACK = """ip link delete br7
ip link delete br6
ip link delete port6
ip link delete nic7
ip link delete port7
ip netns delete peer"""

# A team of two uplinks for net3 against the kernel's own bonding driver in 802.3ad mode, as the switch would be. Slow LACP: an
# emulated host may stand still for the three seconds of the fast one.
BLUE = """<network>
  <name>blue</name>
  <forward mode='bridge'><interface dev='p0'/><interface dev='p1'/></forward>
  <vmmd:team xmlns:vmmd='urn:vmmd:network:1' policy='lacp'>
    <vmmd:detect pollMs='10'/><vmmd:lacp rate='slow'/>
  </vmmd:team>
</network>
"""
BLUE_MAC, BLUE_ADDRESS, PARTNER = "52:54:00:00:04:03", "10.4.0.3", "10.4.0.2"
BOND = f"""ip netns add other
ip link add p0 type veth peer name q0 netns other
ip link add p1 type veth peer name q1 netns other
ip link set p0 up
ip link set p1 up
ip -n other link add bond0 type bond mode 802.3ad miimon 50 lacp_rate slow
ip -n other link set q0 master bond0
ip -n other link set q1 master bond0
ip -n other address add {PARTNER}/24 dev bond0
ip -n other link set bond0 up"""
BOND_BACK = """ip link delete p0
ip link delete p1
ip netns delete other"""


def add_interface(name, mac, kind, rest, address=None):
    """The guest will have this interface, too."""
    xml = f"<interface type='{kind}'><mac address='{mac}'/>{rest}<model type='virtio'/></interface>"
    interfaces.setdefault(name, []).append((mac, xml, address))


def run_all(lines):
    """Commands that have to work, one a line."""
    for line in lines.splitlines():
        result = run(*line.split())
        check(result.status == 0, f"{line}: {result.err}")


def define_network(name, xml):
    path = JOB / f"{name}.xml"
    path.write_text(xml)
    equal(vmctl("net-define", str(path)), f"Network {name} defined from {path}", "answer to net-define")


def start_network(name, xml):
    define_network(name, xml)
    equal(vmctl("net-start", name), f"Network {name} started", "answer to net-start")


def end_network(name):
    equal(vmctl("net-destroy", name), f"Network {name} destroyed", "answer to net-destroy")
    equal(vmctl("net-undefine", name), f"Network {name} has been undefined", "answer to net-undefine")


def mac_of(name):
    """On the isolated network."""
    return f"52:54:00:00:09:0{name[-1]}"


def address_of(name):
    return f"10.9.0.{name[-1]}"


def network_workers():
    """Process ids of the workers that are networks, by their names: their arguments say so."""
    found = {}
    for pid in processes("vmmd-worker"):
        try:
            arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        except OSError:
            continue
        if "net:" in arguments:
            found[arguments.split("net:")[1].split("\0")[0]] = pid
    return found


def host_network():
    """What a network must not change on its host."""
    commands = (("ip", "-br", "address"), ("ip", "route"), ("nft", "list", "ruleset"),
                ("cat", "/proc/sys/net/ipv4/ip_forward"))
    return [run(*command).out for command in commands]


def links():
    """Names of the host's interfaces, and of the bridge that each is in."""
    return {link["ifname"]: link.get("master", "") for link in json.loads(run("ip", "-json", "link").out)}


def in_partner(*argv):
    """Run at the bond's side."""
    result = run("ip", "netns", "exec", "other", *argv)
    check(result.status == 0, f"{' '.join(argv)}: {result.err}")
    return result.out


def aggregated():
    """How many links the bond's active aggregator has."""
    return int(in_partner("cat", "/proc/net/bonding/bond0").split("Number of ports: ")[1].split()[0])


@suite.case("an isolated network", needs="the default network")
def isolated_network():
    define_network("red", RED)
    equal(vmctl("net-list"), " Name   State   Autostart   Persistent\n----------------------------------------", "net-list")
    equal(vmctl("net-start", "red"), "Network red started", "answer to net-start")
    equal(vmctl("net-list").splitlines()[2].split(), ["red", "active", "no", "yes"], "row of net-list")
    check("already active" in vmctl_fails("net-start", "red"), "a second net-start")
    workers = network_workers()
    equal(len(workers), 1, "workers of networks")
    status = pathlib.Path(f"/proc/{list(workers.values())[0]}/status").read_text()
    check("Seccomp:\t2" in status and "CapEff:\t0000000000000000" in status, f"the worker is not confined:\n{status}")
    for name in NAMES:
        add_interface(name, mac_of(name), "network", "<source network='red'/>", f"{address_of(name)}/24")


@suite.case("a network with NAT and DHCP", needs="the default network")
def nat():
    undo.append("ip link delete outside")
    run_all(OUTSIDE_LINK)
    before = host_network()
    start_network("green", GREEN)
    equal(host_network(), before, "addresses, routes, rules and forwarding of the host")
    for program in ("dnsmasq", "slirp4netns"):
        wait_until(f"{program} runs", lambda name=program: processes(name), 30, 0.2)
    add_interface("net1", GREEN_MAC, "network", "<source network='green'/>")


@suite.case("bridges and NICs of the host's", needs="the default network")
def bridges():
    undo.extend(BRIDGES_BACK.splitlines())
    run_all(BRIDGES)
    add_interface("net2", BRIDGE_MAC, "bridge", "<source bridge='br7'/>", "10.7.0.9/24")
    add_interface("net2", DIRECT_MAC, "direct", "<source dev='nic7' mode='bridge'/>", "10.6.0.9/24")
    add_interface("net2", VLAN_MAC, "bridge", "<source bridge='br6'/><vlan><tag id='42'/></vlan>", "10.5.0.9/24")


@suite.case("LACP with the kernel's bonding driver", needs="the default network")
def bonding():
    if run("modprobe", "bonding").status != 0:
        raise Skipped("this kernel has no bonding driver")
    undo.extend(BOND_BACK.splitlines())
    run_all(BOND)
    start_network("blue", BLUE)
    wait_until("both links are one", lambda: aggregated() == 2, 60, 0.5)
    text = in_partner("cat", "/proc/net/bonding/bond0")
    mac = pathlib.Path("/sys/class/net/p0/address").read_text().strip()
    check(f"Partner Mac Address: {mac}" in text, f"the bond's partner is another than {mac}:\n{text}")
    add_interface("net3", BLUE_MAC, "network", "<source network='blue'/>", f"{BLUE_ADDRESS}/24")
