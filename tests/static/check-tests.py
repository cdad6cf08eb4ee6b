#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check-tests.py ROOT: every module has a test: foo.c has tests/unit/test-foo.c, or else the comment that opens foo.c
# or foo.h says which tests cover it:
#
#   Tested by tests/unit/test-bar.c and tests/guest/test-guests.c.
#
# A test that is named there exists; a comma or "and" stands between several.

import pathlib
import re
import sys

FOLDERS = ("client", "config", "daemon", "devices", "vmm-core")
PATH = r"[\w-]+/[\w./-]*\w"
NAMES = re.compile(rf"Tested by ((?:{PATH}(?:, | and )?)+)")


def opening_comment(path):
    """The comment behind the licence line, as one line."""
    if not path.exists():
        return ""
    match = re.match(r"/\* SPDX.*?\*/\s*/\*(.*?)\*/", path.read_text(encoding="utf-8"), re.S)
    return re.sub(r"\s+\*?\s*", " ", match.group(1)) if match else ""


def named_tests(path):
    names = []
    for source in (path, path.with_suffix(".h")):
        for match in NAMES.finditer(opening_comment(source)):
            names += re.findall(PATH, match.group(1))
    return names


def problems(root):
    tests = {path.stem for path in (root / "tests/unit").glob("test-*.c")}
    n = 0
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.c")):
            n += 1
            where = path.relative_to(root)
            names = named_tests(path)
            if not names and f"test-{path.stem}" not in tests:
                yield f"{where}: there is no tests/unit/test-{path.stem}.c, and nothing says 'Tested by …'"
            for name in names:
                if not (root / name).is_file():
                    yield f"{where}: tested by {name}, which does not exist"
    if not n:
        yield f"no sources in {root}"


def main():
    bad = list(problems(pathlib.Path(sys.argv[1])))
    for line in bad:
        print(line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
