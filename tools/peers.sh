#!/bin/sh
# peers.sh FOLDER: TFTP and NTP servers of others for the tests, unpacked and not installed: their
# packages would start a daemon. What can't be had is left out, and its tests say so.
set -eu
folder=$1
packages="tftpd-hpa atftpd chrony"
[ "$(cat "$folder/done" 2>/dev/null)" != "$packages" ] || exit 0
command -v apt-get >/dev/null || exit 0
mkdir -p "$folder"
cd "$folder"
for name in $packages; do
	apt-get -q download "$name" >/dev/null 2>&1 && dpkg -x "$name"_*.deb "$name" && rm "$name"_*.deb ||
		echo "setup: no $name: tests with it are skipped" >&2
done
echo "$packages" >"done"
