# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the scripts share: one-line messages, the cache, and the making of Debian roots. Sourced, never run.

say() { echo "${0##*/}: $*"; }
die() { echo "${0##*/}: $*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "must run as root: it $1"; }

# The cache outlives checkouts: everything in it is named by a hash of what it was made from, so it may be
# removed whenever nothing runs, and only costs time.
cache_dir() {
	local dir=${VMMD_CACHE:-}

	if [ -z "$dir" ]; then
		if [ "$(id -u)" = 0 ]; then dir=/var/cache/vmmd-tests; else dir=${XDG_CACHE_HOME:-$HOME/.cache}/vmmd-tests; fi
	fi
	mkdir -p "$dir" || die "cannot create the cache folder $dir; set VMMD_CACHE to one that can be written"
	echo "$dir"
}

# One builder at a time; the lock goes with the process.
cache_lock() {
	exec {cache_lock_fd}>"$(cache_dir)/lock"
	flock "$cache_lock_fd"
}

# cache_prune KIND KEEP: forget the builds of KIND that nobody has used for a week, and note the use of KEEP.
cache_prune() {
	touch "$2"
	find "$(cache_dir)" -mindepth 1 -maxdepth 1 -name "$1-*" -mtime +7 -exec rm -rf {} +
}

# A short hash of the arguments: the content of those that are files, the text of the others.
hash_of() {
	local item

	for item in "$@"; do
		if [ -f "$item" ]; then sha256sum <"$item"; else printf '%s\n' "$item"; fi
	done | sha256sum | cut -c1-16
}

# debootstrap_root ROOT PACKAGES [MMDEBSTRAP OPTIONS]: a minimal Debian 12 with PACKAGES in the folder ROOT.
# Recommended packages, documentation and translations are left out.
debootstrap_root() {
	local root=$1 packages=$2 proxy log
	shift 2

	proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy 2>/dev/null || true)
	log=$(mktemp)
	if ! mmdebstrap --quiet --variant=minbase --include="$packages" \
		--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
		--aptopt='Acquire::Retries "3"' ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		"$@" bookworm "$root" ${VMMD_MIRROR:+"$VMMD_MIRROR"} >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		die "mmdebstrap failed (whole log: $log); VMMD_MIRROR can name another mirror"
	fi
	rm -f "$log"
}

# Whether this machine's KVM runs an unmodified kernel. If not, prints why in a few words.
kvm_lacks_hardware() {
	if [ ! -e /dev/kvm ]; then
		echo "there is no /dev/kvm"
	elif [ -d /sys/module/kvm_pvm ]; then
		echo "its KVM is paravirtual (kvm_pvm)"
	elif ! grep -q -m1 -w -E '^flags.*(svm|vmx)' /proc/cpuinfo; then
		echo "its processors show neither svm nor vmx"
	else
		return 1
	fi
}

# build_tree FOLDER [MESON OPTIONS]: configure if need be and build, quietly; what fails is shown.
build_tree() {
	local build=$1 source log setup=()
	shift

	source=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
	log=$(mktemp)
	[ ! -f "$build/build.ninja" ] || setup=(--reconfigure)
	if ! { meson setup "${setup[@]}" --prefix=/usr --sysconfdir=/etc --localstatedir=/var "$@" "$build" "$source" &&
		ninja -C "$build"; } >"$log" 2>&1; then
		{ grep -E -A5 "error:|ERROR:|FAILED:" "$log" || tail -n 20 "$log"; } | tail -n 40 | cut -c1-300 >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

# install_tree FOLDER DESTDIR: what "meson install" would put on the machine.
install_tree() {
	local log

	log=$(mktemp)
	if ! meson install -C "$1" --no-rebuild --quiet --destdir "$(readlink -f -m "$2")" >"$log" 2>&1; then
		tail -n 5 "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}
