# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A guest that lies, storms and floods, by its kernel's own packet generator: the others of its network do not suffer.

from guests import guests, nics
from harness import check, equal, suite, vmctl, wait_until
from networks import RED, counters, plug, reaches, unplug
from topologies import address_of, mac_of, network_workers

WILD_MAC = "52:54:00:00:09:66"
WILD = (f"<interface type='network'><mac address='{WILD_MAC}'/><source network='red' portgroup='wild'/>"
        "<model type='virtio'/></interface>")


def generate(eth, target_mac, source_mac, count, *more):
    """net3 sends 'count' frames as fast as it can, while its console goes on; sent() tells when that is over."""
    settings = [f"count {count}", "delay 0", "pkt_size 60", "clone_skb 0", f"dst {address_of('net2')}",
                f"dst_mac {target_mac}", f"src_mac {source_mac}", *more]
    console = guests["net3"]
    console.command("modprobe pktgen")
    console.command("cd /proc/net/pktgen; echo reset >pgctrl; "
                    f"echo rem_device_all >kpktgend_0; echo add_device {eth} >kpktgend_0; "
                    + "; ".join(f"echo '{s}' >{eth}" for s in settings) + "; cd /")
    console.command("{ (echo start >/proc/net/pktgen/pgctrl; echo over >/dev/shm/generated) & } 2>/dev/null")


def sent(eth):
    console = guests["net3"]
    wait_until("all frames are sent", lambda: console.command("cat /dev/shm/generated 2>/dev/null; true") == "over", 120, 0.5)
    console.command("rm /dev/shm/generated")
    text = console.command(f"grep pkts-sofar /proc/net/pktgen/{eth}")
    return int(text.split("pkts-sofar:")[1].split()[0])


def dropped(mac, reason):
    """What the interface of net3's has sent in vain, for this reason."""
    nic = nics("net3")[mac]
    return nic.get(f"tx_drop_{reason}", nic.get(f"tx_drop_{reason.replace('-', '_')}", 0))


@suite.case("who lies about its MAC address is not heard", needs=RED)
def spoof():
    check(reaches("net1", "net2"), "net1 does not reach net2 before")
    before = dropped(mac_of("net3"), "spoofed-mac")
    # In the name of net1, to whom net2's answers would go.
    generate("eth0", mac_of("net2"), mac_of("net1"), 2000)
    check(reaches("net1", "net2", 3), "net1 loses frames while net3 speaks in its name")
    n = sent("eth0")
    equal(dropped(mac_of("net3"), "spoofed-mac") - before, n, "frames that were dropped as spoofed")
    check(reaches("net1", "net2"), "net1 does not reach net2 afterwards")
    check(reaches("net3", "net1"), "net3 does not reach net1 with its own address")


@suite.case("a storm and a flood of addresses hurt nobody else", needs=RED)
def storm():
    worker = network_workers()["red"]
    path = "/job/wild.xml"
    with open(path, "w", encoding="ascii") as f:
        f.write(WILD)
    eth = plug("net3", WILD_MAC, None, "attach-device", "net3", path)
    # To everybody: beyond 200 a second nobody gets them.
    heard = counters("net1")["rx_packets"]
    generate(eth, "ff:ff:ff:ff:ff:ff", WILD_MAC, 20000)
    check(reaches("net1", "net2", 5), "net1 loses frames in a storm")
    n = sent(eth)
    stopped = dropped(WILD_MAC, "storm")
    check(stopped > n / 2, f"only {stopped} of {n} frames of the storm were dropped")
    heard = counters("net1")["rx_packets"] - heard
    check(heard <= n - stopped + 100, f"net1 was given {heard} frames, of a storm of {n} with {stopped} dropped")
    # From 5000 addresses, to one: the switch learns some of them and none of others'.
    generate(eth, mac_of("net1"), "02:00:00:00:00:00", 10000, "src_mac_count 5000")
    check(reaches("net2", "net1", 5), "net2 loses frames in a flood of addresses")
    sent(eth)
    for source, target in (("net1", "net2"), ("net2", "net1"), ("net3", "net1")):
        check(reaches(source, target), f"{source} does not reach {target} afterwards")
    unplug("net3", WILD_MAC)
    equal(network_workers()["red"], worker, "the network's worker")
    check(vmctl("domstate", "net3") == "running", "the guest has been stopped")
