#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# main.py [CASE...|-CASE...]: the system tests; runs as root in the test host, in the job folder that ../run prepares:
#
#   tree/    what "meson install" installs
#   handed-on/ what the first test host has for the other one (processors.py)
#   packages/  the Debian packages, if they were built; next/ has a later vmmd
#   examples/  docs/examples
#   tls/     what its make-certificates makes for the host "localhost" and the clients "admin" and "stranger"
#   kvm/     the programs of meson's suite 'kvm', our own guests, and what they need; 'elsewhere' if that suite runs where it was built
#   guest/   disk.img, vmlinuz, initrd.img of the demo guest, domain.xml.in
#
# Reports in TAP. The order of the imports is the order of the cases.

import sys

import service  # noqa: F401
import ownguests  # noqa: F401
import lifecycle  # noqa: F401
import consoles  # noqa: F401
import programs  # noqa: F401
import refusals  # noqa: F401
import topologies  # noqa: F401
import processors  # noqa: F401
import guests  # noqa: F401
import memory  # noqa: F401
import pressure  # noqa: F401
import networks  # noqa: F401
import hostile  # noqa: F401
import bridges  # noqa: F401
import gateways  # noqa: F401
import teams  # noqa: F401
import ends  # noqa: F401
import elsewhere  # noqa: F401
import packages  # noqa: F401
from harness import note, run, suite

status = suite.run(sys.argv[1:])
if status:
    note("journal of vmmd:")
    note(run("journalctl", "--no-pager", "-n", "60", "-o", "short-monotonic", "-u", "vmmd").out)
sys.exit(status)
