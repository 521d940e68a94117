#!/bin/sh
# packages.sh NAME...: sees to it that these Debian packages are installed.
# As root it installs what is missing, and touches nothing if all is there. "a|b": any of these will do,
# the first that this release of Debian has.
set -eu

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing() {
	for names; do
		first='' there=''
		for name in $(echo "$names" | tr '|' ' '); do
			! installed "$name" || there=$name
			[ -n "$first" ] || [ -z "$(apt-cache show "$name" 2>/dev/null)" ] || first=$name
		done
		[ -n "$there" ] || printf '%s ' "${first:-${names%%|*}}"
	done
}

if ! command -v dpkg-query >/dev/null; then
	echo "not a Debian system: have these or their like: $*" >&2
	exit 0
fi
lacking=$(missing "$@")
[ -n "$lacking" ] || exit 0
lacking=${lacking% }
if [ "$(id -u)" != 0 ]; then
	echo "missing packages: $lacking; install them with: apt-get install $lacking" >&2
	exit 1
fi

# `make -j` runs this twice at once, and apt-get update does not wait for its lock.
mkdir -p /run/lock
exec 9>/run/lock/swdist-packages
flock 9
lacking=$(missing "$@")
[ -n "$lacking" ] || exit 0
echo "installing packages: ${lacking% }"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# The update may fail for a source of no concern here: the installation says what counts.
apt-get -q update >"$log" 2>&1 || true
lacking=$(missing "$@") # now that it is known which of several there is
# shellcheck disable=SC2086 # a list of names
if ! apt-get -q -y --no-install-recommends -oDPkg::Lock::Timeout=300 \
	install $lacking >>"$log" 2>&1 </dev/null; then
	tail -n 20 "$log" >&2
	echo "apt-get could not install: $lacking" >&2
	exit 1
fi
