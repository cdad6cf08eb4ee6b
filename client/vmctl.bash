# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for vmctl: all knowledge is in `vmctl --complete`, which gets the words and prints candidates.

_vmctl()
{
	local i word line status
	local -a words=()
	local index=0

	# bash splits words at '=' and ':' (COMP_WORDBREAKS); put "--name=value" and "unix:path" together again.
	local glue=0
	for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
		word=${COMP_WORDS[i]}
		if ((glue)) || { [[ $word == [=:]* ]] && ((${#words[@]} > 1)); }; then
			words[${#words[@]} - 1]+=$word
		else
			words+=("$word")
		fi
		glue=0
		[[ $word == [=:] ]] && glue=1
		((i == COMP_CWORD)) && index=$((${#words[@]} - 1)) && break
	done

	COMPREPLY=()
	line=$(vmctl --complete "$index" -- "${words[@]}" 2>/dev/null)
	status=$?
	if ((status == 3)); then
		compopt -o default
		return
	fi
	while IFS= read -r word; do
		[[ -n $word ]] && COMPREPLY+=("$(printf '%q' "$word")")
	done <<<"$line"
}

complete -F _vmctl vmctl
