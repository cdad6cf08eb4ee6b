#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A domain's whole life by JSON-RPC, with nothing but Python's standard library: define, start, events, statistics, its console, the end.

    lifecycle.py --tls HOST[:PORT] --tls-dir DIR [OPTION...] DOMAIN.xml     DIR: ca.pem, client.pem, client-key.pem
    lifecycle.py --socket /run/vmmd/rpc.sock [OPTION...] DOMAIN.xml         on vmmd's own host

docs/rpc.md says what goes over the connection.
"""
import argparse
import base64
import json
import socket
import ssl
import sys
import uuid


class Refused(Exception):
    """An error that vmmd has answered: code, class, message."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.kind = error.get("data", {}).get("class", "")


def connect_tls(address, folder, timeout):
    """A TLS connection to "HOST", "HOST:PORT" or "[IPV6]:PORT"."""
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, "16515"
    host = host.strip("[]")
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(f"{folder}/client.pem", f"{folder}/client-key.pem")
    return context.wrap_socket(socket.create_connection((host, int(port)), timeout), server_hostname=host)


def connect_unix(path, timeout):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(path)
    return connection


class Vmmd:
    """One connection. Messages are lines; events, and what streams show, come between the answers and are kept."""

    def __init__(self, connection):
        self.connection = connection
        self.lines = connection.makefile("rwb")
        self.last_id = 0
        self.events = []
        self.streamed = {}  # bytes of each stream that nobody has taken yet
        self.taken = {}  # how many have been, of each
        self.ended = set()  # streams

    def close(self):
        self.lines.close()
        self.connection.close()

    def read(self):
        """The next message; what nobody has asked for now is put aside, and None answered."""
        line = self.lines.readline()
        if not line:
            raise ConnectionError("vmmd has closed the connection")
        message = json.loads(line)
        if message.get("method") in ("rpc.event", "rpc.gap"):
            self.events.append(message["params"])
            return None
        if message.get("method") == "rpc.stream":
            self.take_stream(message["params"])
            return None
        return message

    def take_stream(self, params):
        number = params["stream"]
        if "data" in params:
            self.streamed[number] = self.streamed.get(number, b"") + base64.b64decode(params["data"])
        if params.get("end"):
            self.ended.add(number)

    def send(self, method, params, **members):
        text = json.dumps({"jsonrpc": "2.0", **members, "method": method, "params": params})
        self.lines.write(text.encode() + b"\n")
        self.lines.flush()

    def call(self, method, **params):
        self.last_id += 1
        self.send(method, params, id=self.last_id)
        while True:
            message = self.read()
            # An error without an id is about the connection: a certificate that is refused, too many of them.
            if message and message.get("id") in (self.last_id, None):
                if "error" in message:
                    raise Refused(message["error"])
                return message["result"]

    def wait_event(self, domain, detail):
        """The first lifecycle event of this domain with this detail; earlier ones of it are dropped."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event.get("domain", {}).get("name") == domain and event.get("detail") == detail:
                    return event
            self.read()

    def read_stream(self, number):
        """What has come, b"" at the end. Tells vmmd that it was taken, so that more may come."""
        while not self.streamed.get(number):
            if number in self.ended:
                return b""
            self.read()
        data = self.streamed.pop(number)
        self.taken[number] = self.taken.get(number, 0) + len(data)
        if number not in self.ended:
            self.send("rpc.ack", {"stream": number, "taken": self.taken[number]})
        return data


def watch_console(vmmd, name, text):
    """Read the first console until 'text' is there."""
    stream = vmmd.call("OpenConsole", domain=name, stream=65536)["stream"]
    seen = b""
    while text.encode() not in seen:
        data = vmmd.read_stream(stream)
        if not data:
            raise ConnectionError(f"the console ended before it showed '{text}'")
        seen = (seen + data)[-65536:]
    vmmd.call("rpc.close", stream=stream)


def live(vmmd, xml, options, say):
    version = vmmd.call("GetVersion")["version"]
    say(f"vmmd {version['daemon']}")
    vmmd.call("rpc.subscribe", events=["lifecycle"])
    # With a key a call may be sent again when its answer was lost, and is done once.
    name = vmmd.call("DefineDomain", xml=xml, idempotency_key=str(uuid.uuid4()))["name"]
    say(f"{name}: defined")
    try:
        vmmd.call("StartDomain", domain=name, idempotency_key=str(uuid.uuid4()))
        vmmd.wait_event(name, "Started")
        state = vmmd.call("GetDomain", domain=name)["info"]["state"]
        say(f"{name}: {state}")
        stats = vmmd.call("GetDomainStats", domains=[name])["stats"][0]["stats"]
        say(f"{name}: {len(stats)} statistics, vcpu.current={stats.get('vcpu.current')}")
        if options.console:
            watch_console(vmmd, name, options.console)
            say(f"{name}: its console shows '{options.console}'")
        vmmd.call("ShutdownDomain" if options.shutdown else "DestroyDomain", domain=name)
        say(f"{name}: {vmmd.wait_event(name, 'Stopped')['reason']}")
    finally:
        try:
            if vmmd.call("GetDomain", domain=name)["info"]["state"] != "shut off":
                vmmd.call("DestroyDomain", domain=name)
        finally:
            vmmd.call("UndefineDomain", domain=name)
            say(f"{name}: undefined")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--tls", metavar="HOST[:PORT]")
    where.add_argument("--socket", metavar="PATH")
    parser.add_argument("--tls-dir", default="/etc/vmmd/tls", metavar="DIR")
    parser.add_argument("--console", metavar="TEXT", help="wait until the domain's console shows this")
    parser.add_argument("--shutdown", action="store_true", help="press the power button at the end, instead of pulling the plug")
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS", help="to wait for any one thing")
    parser.add_argument("xml", metavar="DOMAIN.xml")
    options = parser.parse_args()
    try:
        with open(options.xml, encoding="utf-8") as file:
            xml = file.read()
        if options.tls:
            vmmd = Vmmd(connect_tls(options.tls, options.tls_dir, options.timeout))
        else:
            vmmd = Vmmd(connect_unix(options.socket, options.timeout))
        live(vmmd, xml, options, lambda text: print(text, flush=True))
        vmmd.close()
    except (OSError, Refused) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
