#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may include whom (ARCHITECTURE.md, "Layers"). Reads every .c and .h of the tree, prints what breaks the table."""
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")

# A file belongs to the longest prefix; it may include headers of its own layer and of those listed.
VOCABULARY = {"config/vm-config.h", "config/net-config.h", "config/net-team.h"}
LAYERS = {
    "vmm-core/base": set(),
    "config": {"vmm-core/base"},
    "vmm-core": {"vmm-core/base", "vocabulary"},
    "devices/net": {"vmm-core/base", "vocabulary"},
    "devices": {"vmm-core/base", "vmm-core", "devices/net", "vocabulary"},
    "daemon": {"vmm-core/base", "config", "vmm-core/proto.h", "vmm-core/stats.h",
               "vmm-core/boot/kernel-probe.h", "vmm-core/cpu-model.h", "vmm-core/cpuid.h",
               "vmm-core/kvm-probe.h"},
    "client": {"vmm-core/base"},
}
# Only config/ knows libxml2; the worker's layers know no library but libc.
LIBRARIES = {
    "libxml/": {"config"},
    "json-c/": {"daemon", "client"},
    "systemd/": {"daemon", "client"},
}
# Single modules, without suffix.
MODULES = {
    "gnutls/": {"daemon/tls-store", "daemon/rpc-io-tls", "client/remote-tls"},
    "nftables/": {"daemon/gateway-nft"},
    "microhttpd.h": {"daemon/metrics-server"},
}


def layer_of(path):
    fits = [name for name in LAYERS if path.startswith(name + "/")]
    return max(fits, key=len) if fits else None


def main():
    bad = []
    files = 0
    for layer in {name.split("/")[0] for name in LAYERS}:
        for path in sorted(ROOT.glob(layer + "/**/*.[ch]")):
            name = str(path.relative_to(ROOT))
            mine = layer_of(name)
            files += 1
            for number, line in enumerate(path.read_text().splitlines(), 1):
                quoted = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                angled = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
                if quoted:
                    target = quoted.group(1)
                    theirs = layer_of(target)
                    allowed = LAYERS[mine]
                    if theirs is None or theirs == mine or theirs in allowed or target in allowed:
                        continue
                    if target in VOCABULARY and "vocabulary" in allowed:
                        continue
                    bad.append(f"{name}:{number}: {mine} may not include {target}")
                elif angled:
                    for library, users in LIBRARIES.items():
                        if angled.group(1).startswith(library) and mine not in users:
                            bad.append(f"{name}:{number}: {mine} may not use <{angled.group(1)}>")
                    for library, users in MODULES.items():
                        if angled.group(1).startswith(library) and str(path.relative_to(ROOT).with_suffix("")) not in users:
                            bad.append(f"{name}:{number}: {library} is for {', '.join(sorted(users))} only")
    for line in bad:
        print(line)
    print(f"{files} files, {len(bad)} includes across a layer")
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
