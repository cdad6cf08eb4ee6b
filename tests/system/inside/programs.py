# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A program with nothing but Python's standard library drives a domain's whole life over JSON-RPC: it starts the service by its
# socket, hears the events, and loses neither the domain nor its place when the daemon is killed. Another one, that of
# docs/examples, does so by TLS.

import json
import os
import pathlib
import shutil
import signal
import socket

from domain import JOB, daemons, write_xml
from harness import check, equal, run, suite, vmctl, vmctl_fails, wait_until

SOCKET = "/run/vmmd/rpc.sock"


class Client:
    """One connection: calls, and the events that come between their answers."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(SOCKET)
        self.lines = self.socket.makefile("rw", encoding="utf-8", newline="\n")
        self.events = []
        self.last = 0

    def read(self):
        line = self.lines.readline()
        check(line, "the connection ended")
        return json.loads(line)

    def call(self, method, **params):
        self.last += 1
        print(json.dumps({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}), file=self.lines, flush=True)
        while True:
            message = self.read()
            if message.get("id") == self.last:
                return message
            self.events.append(message)

    def result(self, method, **params):
        answer = self.call(method, **params)
        check("result" in answer, f"{method}: {answer}")
        return answer["result"]

    def wait_event(self, detail):
        """The first event with this detail; the others before it are dropped."""
        while True:
            message = self.events.pop(0) if self.events else self.read()
            if message["params"].get("detail") == detail:
                return message["params"]

    def close(self):
        self.lines.close()
        self.socket.close()


@suite.case("a program by JSON-RPC", needs="define")
def program():
    run("systemctl", "stop", "vmmd.service")
    equal(run("stat", "-c", "%a", SOCKET).out.strip(), "666", "mode of the socket")
    client = Client()
    check(client.result("GetVersion")["version"]["daemon"], "no version")
    equal(run("systemctl", "is-active", "vmmd.service").out.strip(), "active", "the service, which the socket starts")
    place = client.result("rpc.subscribe", events=["lifecycle"])

    with open(write_xml("byrpc", 1, disk="deb1.img"), encoding="utf-8") as file:
        equal(client.result("DefineDomain", xml=file.read())["name"], "byrpc", "the name")
    client.result("StartDomain", domain="byrpc")
    event = client.wait_event("Started")
    equal(event["domain"]["name"], "byrpc", "the event's domain")
    equal(client.result("GetDomain", domain="byrpc")["info"]["state"], "running", "its state")
    error = client.call("StartDomain", domain="byrpc")["error"]
    equal((error["code"], error["data"]["class"], error["data"]["object"]), (-32006, "OperationInvalid", {"domain": "byrpc"}), "error")

    # The daemon dies; systemd's socket stays, and so does the domain. Numbers are another run's: everything comes, and says so.
    os.kill(daemons()[0], signal.SIGKILL)
    client.close()
    client = Client()
    wait_until("the domain is found again", lambda: client.result("GetDomain", domain="byrpc")["info"]["state"] == "running", 60, 0.5)
    again = client.result("rpc.subscribe", since=event["sequence"], instance=place["instance"])
    check(again["instance"] != place["instance"], "another run has the same name")
    client.result("DestroyDomain", domain="byrpc")
    equal(client.wait_event("Stopped")["domain"]["name"], "byrpc", "the event's domain")
    client.result("UndefineDomain", domain="byrpc")
    client.close()
    check("byrpc" not in vmctl("list", "--all", "--name").split(), "it is still defined")


@suite.case("vmctl by JSON-RPC, without a bus name", needs="define")
def vmctl_by_rpc():
    equal(vmctl("-c", f"unix:{SOCKET}", "list", "--all"), vmctl("list", "--all"), "list --all")
    equal(vmctl("-c", f"unix:{SOCKET}", "dumpxml", "deb1"), vmctl("dumpxml", "deb1"), "dumpxml")


TLS_DIR = pathlib.Path("/etc/vmmd/tls")
TLS_REFUSED = "439ff431e0a84981bc92b9222067abd5"


def serve_tls():
    """As docs/rpc.md says: files, then the socket. The service's own is the one that systemd passes."""
    TLS_DIR.mkdir(mode=0o750, parents=True, exist_ok=True)
    for name in ("ca.pem", "server.pem", "server-key.pem"):
        shutil.copy(JOB / "tls/server" / name, TLS_DIR / name)
        os.chown(TLS_DIR / name, 0, 0)
    (TLS_DIR / "roles").write_text("cn:admin = administrator\n")
    check(run("systemctl", "enable", "vmmd-tls.socket").status == 0, "the socket cannot be enabled")
    restarted = run("systemctl", "restart", "vmmd")
    check(restarted.status == 0, f"the service does not start: {restarted.err}")
    equal(run("systemctl", "is-active", "vmmd-tls.socket").out.strip(), "active", "the socket")


def serve_no_tls():
    run("systemctl", "disable", "--now", "vmmd-tls.socket")
    equal(run("systemctl", "restart", "vmmd").status, 0, "restart")
    shutil.rmtree(TLS_DIR)


def example(client, *options):
    return run("python3", str(JOB / "examples/lifecycle.py"), "--tls", "localhost", "--tls-dir", str(JOB / "tls" / client), *options,
               timeout=300)


@suite.case("a program by TLS, that of docs/examples", needs="define")
def program_by_tls():
    # It is there, and off.
    equal(run("systemctl", "is-enabled", "vmmd-tls.socket").out.strip(), "disabled", "the socket of TLS")
    serve_tls()
    try:
        lived = example("admin", "--console", "Linux version", write_xml("bytls", 1, disk="deb1.img"))
        check(lived.status == 0, f"{lived.out}{lived.err}")
        for line in ("bytls: defined", "bytls: running", "bytls: its console shows 'Linux version'", "bytls: Destroyed", "bytls: undefined"):
            check(line in lived.out.splitlines(), f"no line '{line}' in {lived.out}")
        uri = f"tls://localhost?tls_dir={JOB}/tls/"
        equal(vmctl("-c", uri + "admin", "list", "--all"), vmctl("list", "--all"), "list --all by TLS")
        # A certificate of the CA's that the map does not have.
        refused = "vmmd refused the certificate: no line of 'roles' names the certificate"
        check(refused in vmctl_fails("-c", uri + "stranger", "list"), "vmctl does not say why")
        stranger = example("stranger", str(JOB / "bytls.xml"))
        equal((stranger.status, stranger.err.strip()), (1, f"error: {refused}"), "a stranger")
        record = run("journalctl", "--no-pager", "-o", "cat", f"MESSAGE_ID={TLS_REFUSED}", "VMMD_CERTIFICATE=cn:stranger")
        check(refused.split(": ")[1] in record.out, f"no record of the refusal: {record.out}")
    finally:
        serve_no_tls()
