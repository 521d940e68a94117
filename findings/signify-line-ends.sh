#!/bin/sh
# signify reads two lines of a key, with any line ends, and nothing behind them.
#
# What was done: a public key and a signature of signify's own are given CRLF line ends, then blank lines
# and words behind the second line; then the signed file is verified with them.
# Seen, signify-openbsd 31 of Debian 12: all of these verify. A reader that wants exactly what the program
# writes (two lines, LF) refuses files that people have opened in an editor and that signify takes.
# No security is lost by it: the key and the signature are the second line.
set -eu

version=31-3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q "signify-openbsd=$version" libbsd0 libmd0 >apt.log 2>&1 || { cat apt.log; exit 1; }
for deb in ./*.deb; do dpkg -x "$deb" root; done
signify() {
	LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/bin/signify-openbsd "$@"
}

signify -G -n -p key.pub -s key.sec
echo data >message
signify -S -s key.sec -m message -x plain.sig
sed 's/$/\r/' key.pub >crlf.pub
sed 's/$/\r/' plain.sig >crlf.sig
{ cat key.pub; printf '\n\nwords\n'; } >longer.pub
{ cat plain.sig; printf '\n\nwords\n'; } >longer.sig
for pair in key.pub:plain.sig crlf.pub:crlf.sig longer.pub:longer.sig; do
	said=$(signify -V -p "${pair%:*}" -m message -x "${pair#*:}" 2>&1) || said="refused: $said"
	echo "$pair: $said"
	[ "$said" = "Signature Verified" ]
done
