#compdef vmctl
# SPDX-License-Identifier: LGPL-2.1-or-later
# zsh completion for vmctl: all knowledge is in `vmctl --complete`, which gets the words and prints candidates.

local lines
local -a candidates

lines=$(vmctl --complete $((CURRENT - 1)) -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
if (( $? == 3 )); then
	[[ $PREFIX != --*=* ]] || compset -P '*='
	_files
	return
fi
candidates=("${(@f)lines}")
candidates=(${candidates:#})
# Of "--name=value" it completes the value.
[[ $PREFIX != --*=* ]] || compset -P '*='
compadd -a candidates
