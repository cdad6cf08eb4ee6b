# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the system tests stand on: a table of cases that is run in order and reported in TAP, vmctl as a
# function, and a console that can be read and typed to like a person would. Standard library only.

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

ANSI = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*(\x07|\x1b\\)|[@-Z\\-_])")


class Failed(Exception):
    """What a case found wrong, in a line or more."""


class Skipped(Exception):
    """Why a case cannot be tried here."""


def check(condition, message):
    if not condition:
        raise Failed(message)


def equal(got, want, what):
    if got != want:
        raise Failed(f"{what}: got {got!r}, not {want!r}")


def note(text):
    for line in str(text).splitlines() or [""]:
        print(f"# {line}", flush=True)


class Result:
    def __init__(self, process):
        self.status = process.returncode
        self.out = process.stdout
        self.err = process.stderr


def run(*argv, timeout=60, user=None):
    """Run a program to its end; never raises for its status."""
    if user:
        argv = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv)
    try:
        return Result(subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     text=True, errors="replace", timeout=timeout, check=False))
    except subprocess.TimeoutExpired as e:
        raise Failed(f"'{' '.join(argv)}' did not end within {timeout} s") from e


def vmctl(*argv, timeout=60, user=None):
    """Output of a vmctl command that has to work, without the empty line that ends it."""
    result = run("vmctl", *argv, timeout=timeout, user=user)
    if result.status != 0:
        raise Failed(f"vmctl {' '.join(argv)}: status {result.status}: {(result.err or result.out).strip()}")
    return result.out.rstrip("\n")


def vmctl_fails(*argv, timeout=60, user=None):
    """Error text of a vmctl command that has to be refused."""
    result = run("vmctl", *argv, timeout=timeout, user=user)
    check(result.status == 1, f"vmctl {' '.join(argv)}: status {result.status}, expected a refusal")
    check(result.err.startswith("error: "), f"vmctl {' '.join(argv)}: no error line, but {result.err!r}")
    return result.err.strip()


def wait_until(what, condition, timeout=30, interval=0.1):
    """Until condition() is true; answers what it returned."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {timeout} s")
        time.sleep(interval)


def wait_state(domain, state, timeout=60):
    last = None

    def reached():
        nonlocal last
        last = vmctl("domstate", domain)
        return last == state

    try:
        wait_until(f"'{domain}' is {state}", reached, timeout, 0.5)
    except Failed as e:
        raise Failed(f"{e} (it is {last})") from None


class Console:
    """A terminal with 'vmctl console' in it. expect() looks at what came after the last match."""

    def __init__(self, domain, *options, argv=None):
        self.domain = domain
        self.text = b""
        self.position = 0
        self.master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        self.before = termios.tcgetattr(slave)
        self.slave = slave  # kept open, to see afterwards what state the terminal was left in
        self.process = subprocess.Popen(
            argv or ["setsid", "--ctty", "vmctl", "console", domain, *options],
            stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "vt100"})

    def read(self, timeout):
        """False when there is nothing within 'timeout' seconds."""
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        if not data:
            return False
        # A sequence may be cut in two by a read: clean what is not matched yet as a whole.
        tail = self.text[self.position:] + data
        self.text = self.text[:self.position] + ANSI.sub(b"", tail)
        return True

    def expect(self, pattern, timeout=30):
        """Wait for a regular expression; answers the match."""
        end = time.monotonic() + timeout
        expression = re.compile(pattern.encode())
        while True:
            match = expression.search(self.text, self.position)
            if match:
                self.position = match.end()
                return match
            left = end - time.monotonic()
            if left <= 0:
                raise Failed(f"console of '{self.domain}': no /{pattern}/ within {timeout} s\n{self.tail()}")
            if not self.read(min(left, 1)) and self.process.poll() is not None and not self.read(0):
                raise Failed(f"console of '{self.domain}': vmctl ended with status {self.process.returncode}\n"
                             f"{self.tail()}")

    def send(self, text):
        os.write(self.master, text.encode())

    def command(self, line, timeout=60):
        """Run a line in the guest's shell; answers its output. Its status has to be 0."""
        # The echo of the line holds neither marker: the shell puts their halves together. The markers are new
        # each time, because a console begins with what was there before.
        n = os.urandom(4).hex()
        self.send(f"echo '<'begin{n}'>'; {line}; echo '<'end{n}:$?'>'\r")
        match = self.expect(rf"(?s)<begin{n}>\r*\n(.*?)<end{n}:(\d+)>", timeout)
        output, status = match.group(1).decode(errors="replace").replace("\r", ""), int(match.group(2))
        if status != 0:
            raise Failed(f"in '{self.domain}': '{line}': status {status}: {output}")
        return output.strip()

    def login(self, timeout=180):
        self.expect(r"vmmd-demo login: ", timeout)
        self.send("root\r")
        self.expect(r"Password: ", 60)
        self.send("vmmd\r")
        self.expect(r"root@vmmd-demo:~# ", 60)
        # Neither a line that wraps nor a message of the kernel in what is read back.
        self.command("stty cols 500; PS1='# '; dmesg -n 1")

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def tail(self, lines=25):
        text = self.text.decode(errors="replace").replace("\r", "")
        return "\n".join("| " + line for line in text.splitlines()[-lines:])

    def leave(self):
        """End it with the escape character; vmctl must end well and give the terminal back as it was."""
        self.send("\x1d")
        try:
            end = time.monotonic() + 10
            while self.process.poll() is None and time.monotonic() < end:
                self.read(0.1)
            equal(self.process.poll(), 0, "vmctl console after ^]")
            equal(termios.tcgetattr(self.slave), self.before, "terminal settings after vmctl console")
        finally:
            self.close()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for fd in (self.master, self.slave):
            try:
                os.close(fd)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Suite:
    """Cases in the order of their definition. needs= names cases without which one makes no sense."""

    def __init__(self):
        self.cases = []

    def case(self, name, needs=()):
        def add(function):
            self.cases.append((name, function, (needs,) if isinstance(needs, str) else needs))
            return function
        return add

    def selected(self, names):
        """The named cases (by prefix) and what they need; or, with a '-' before each name, all but those."""
        if not names:
            return self.cases
        if names[0].startswith("-"):
            return [c for c in self.cases if not any(c[0].startswith(n[1:]) for n in names)]
        want = {c[0] for c in self.cases if any(c[0].startswith(n) for n in names)}
        for name, _, needs in reversed(self.cases):
            if name in want:
                want.update(needs)
        return [c for c in self.cases if c[0] in want]

    def run(self, names=()):
        cases = self.selected(names)
        print(f"1..{len(cases)}", flush=True)
        passed = set()
        failures = 0
        for number, (name, function, needs) in enumerate(cases, 1):
            verdict, detail = self.attempt(function, [n for n in needs if n not in passed])
            if verdict == "ok":
                passed.add(name)
            failures += verdict == "not ok"
            if verdict == "skip":
                print(f"ok {number} - {name} # SKIP {detail}", flush=True)
                continue
            head, *rest = detail.splitlines() if verdict == "not ok" else [detail]
            print(f"{verdict} {number} - {name} ({head})", flush=True)
            note("\n".join(rest)) if rest else None
        return 1 if failures else 0

    @staticmethod
    def attempt(function, missing):
        if missing:
            return "not ok", f"not tried, because of '{missing[0]}'"
        start = time.monotonic()
        try:
            function()
        except Skipped as e:
            return "skip", str(e)
        except Failed as e:
            return "not ok", str(e)
        except Exception as e:  # a broken case is a failed one, and the others still run
            sys.excepthook(*sys.exc_info())
            return "not ok", f"{type(e).__name__}: {e}"
        return "ok", f"{time.monotonic() - start:.1f} s"


suite = Suite()
