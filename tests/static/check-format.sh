#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every C file is as clang-format (version 14, the one of Debian 12) leaves it.
cd "$1" || exit 1
if ! command -v clang-format >/dev/null; then
	echo "clang-format is missing: scripts/setup installs it"
	exit 77
fi
git ls-files -- '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>&1 | grep -E '(error|warning):' | head -n 40 >"${TMPDIR:-/tmp}/format.$$"
n=$(wc -l <"${TMPDIR:-/tmp}/format.$$")
cat "${TMPDIR:-/tmp}/format.$$"
rm -f "${TMPDIR:-/tmp}/format.$$"
[ "$n" -eq 0 ]
