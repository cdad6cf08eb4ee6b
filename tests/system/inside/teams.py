# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A guest whose TCP connection goes over a team of two uplinks, and what the service tells of the team meanwhile.

import json
import subprocess
import time

from domain import JOB
from guests import guests, pings
from harness import check, equal, note, run, suite, vmctl, vmctl_fails, wait_until
from topologies import BLUE_ADDRESS, BLUE_MAC, PARTNER, aggregated, in_partner, run_all

ON_TEAM = ("LACP with the kernel's bonding driver", "guest net3")
GOT = JOB / "got"
N_CHUNKS, CHUNK = 400, 20000


def status():
    return json.loads(vmctl("team-status", "blue", "--json"))


def members():
    return {member["name"]: member for member in status()["members"]}


def reports():
    return json.loads(vmctl("team-report", "blue", "--json"))


def received():
    return GOT.stat().st_size if GOT.exists() else 0


def both_carry():
    """By the word of either side."""
    return aggregated() == 2 and all(member["active"] for member in members().values())


@suite.case("a guest reaches what is behind the bond", needs=ON_TEAM)
def guest_on_team():
    check(pings("net3", PARTNER), "no way out")
    check(BLUE_MAC in in_partner("ip", "neigh", "show", BLUE_ADDRESS), "the partner sees another MAC address")


@suite.case("the service tells how a team is", needs=ON_TEAM)
def team_told():
    team = status()
    equal((team["policy"], team["policy_in_effect"], team["up"], team["guest_links"]), ("lacp", "lacp", True, True), "the team")
    equal({name: (m["state"], m["link"], m["active"]) for name, m in members().items()},
          {"p0": ("up", True, True), "p1": ("up", True, True)}, "its uplinks")
    text = vmctl("team-status", "blue")
    partner = in_partner("cat", "/sys/class/net/bond0/address").strip()
    check(text.count(partner) == 2, f"LACP's partner is not {partner} in\n{text}")


@suite.case("TCP goes on while each link of a team is cut", needs="a guest reaches what is behind the bond")
def cut():
    console = guests["net3"]
    console.command(f"head -c {N_CHUNKS * CHUNK} /dev/urandom >/dev/shm/data", 60)
    server = subprocess.Popen(["ip", "netns", "exec", "other", "socat", "-u", "TCP-LISTEN:7000,reuseaddr",
                               f"OPEN:{GOT},creat,trunc"])
    wait_until("the partner listens", lambda: ":7000 " in in_partner("ss", "-ltn"), 20)
    # Until it is told to stop.
    console.command(f"{{ for i in $(seq 0 {N_CHUNKS - 1}); do [ -e /dev/shm/stop ] && break; dd if=/dev/shm/data bs={CHUNK} skip=$i "
                    f"count=1 2>/dev/null; sleep 0.1; done | nc -N {PARTNER} 7000 >/dev/null; }} 2>/dev/null & true")
    wait_until("data comes", received, 30)
    for link in ("q0", "q1"):
        run_all(f"ip -n other link set {link} down")
        before, start = received(), time.monotonic()
        # More than what was on its way.
        wait_until(f"data comes without {link}", lambda: received() > before + 5 * CHUNK, 60)
        note(f"{link} cut: 5 chunks more after {time.monotonic() - start:.1f} s")
        check(server.poll() is None, "the transfer was over before the cut; it proves nothing")
        equal(aggregated(), 1, f"links without {link}")
        check(BLUE_MAC in in_partner("ip", "neigh", "show", BLUE_ADDRESS), "the partner sees another MAC address")
        run_all(f"ip -n other link set {link} up")
        wait_until("both links are one again", both_carry, 60, 0.5)
    console.command("touch /dev/shm/stop")
    equal(server.wait(120), 0, "status of the receiver")
    size = received()
    equal(run("sha256sum", str(GOT)).out.split()[0],
          console.command(f"head -c {size} /dev/shm/data | sha256sum").split()[0], "what has come, against what was sent")
    check(size >= 10 * CHUNK, f"only {size} bytes")
    GOT.unlink()
    console.command("rm /dev/shm/data /dev/shm/stop")


@suite.case("a failover is told, reported and rehearsed", needs="a guest reaches what is behind the bond")
def failover_told():
    wait_until("both uplinks carry", both_carry, 60, 0.5)
    known = {report["number"] for report in reports()}
    lost, other = "p0", "p1"
    event = subprocess.Popen(["vmctl", "--json", "net-event", "blue", "--event", "failover", "--timeout", "60"],
                             stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    run_all("ip -n other link set q0 down")
    told = json.loads(event.communicate(timeout=70)[0])
    equal((told["detail"], told["fields"]["from"], told["fields"]["to"]), ("link", lost, other), "the event")
    new = wait_until("the report", lambda: [r for r in reports() if r["number"] not in known], 20, 0.5)[-1]
    equal((str(new["number"]), new["cause"], new["from"], new["to"]), (told["fields"]["number"], "link", lost, other), "the report")
    equal(len(vmctl("team-report", "blue", "--last", "1").splitlines()), 3, "lines of team-report --last 1")
    check(pings("net3", PARTNER), "no way out by the other uplink")
    down = members()[lost]
    check(not down["active"] and down["not_used"], f"the cut uplink: {down}")
    # The last one is not taken away for a test.
    check("would cut it off" in vmctl_fails("team-test", "blue", "--member", other), "a test that cuts the network off")
    run_all("ip -n other link set q0 up")
    wait_until("both links are one again", both_carry, 60, 0.5)
    # While the guest speaks, one after the other is taken out of use.
    console = guests["net3"]
    console.command(f"{{ ping -n -q -i 0.2 -c 60 {PARTNER} >/dev/shm/ping & }} 2>/dev/null")
    tests = json.loads(vmctl("team-test", "blue", "--json", timeout=120))
    equal(sorted(test["member"] for test in tests), ["p0", "p1"], "uplinks that were tested")
    check(all(test["came_back"] for test in tests), f"not all came back: {tests}")
    check(sum(test["moved"] for test in tests) >= 1, f"nothing was moved: {tests}")
    text = console.command("while pgrep -x ping >/dev/null; do sleep 0.2; done; cat /dev/shm/ping", 60)
    answered = int(text.split(" received")[0].split()[-1])
    # Either test takes as long as ten of them.
    check(answered >= 52, f"only {answered} of 60 echoes were answered while the uplinks were tested")
    note(f"{answered} of 60 echoes were answered in the test")
