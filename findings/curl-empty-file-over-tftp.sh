#!/bin/sh
# curl fails on an empty file over TFTP if the server says its size.
#
# What was done: curl asks for an empty file, with `tsize 0` in its request as it always does; the server
# answers as RFC 2349 says, an OACK with the size of the file, which is 0, and then an empty DATA 1.
# Seen, curl 7.88.1 of Debian 12: exit status 71 (TFTP error). The reason, "invalid tsize -:0:- value in
# OACK packet", is shown with -v alone; else the message speaks of getpeername(). With an OACK that leaves
# tsize out the same file comes, exit status 0.
# Expected: a file of no bytes. A server that means to serve empty files to curl does not answer tsize for
# them.
set -eu

version=7.88.1-10+deb12u15
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q "curl=$version" "libcurl4=$version" >apt.log 2>&1 || { cat apt.log; exit 1; }
for deb in ./*.deb; do dpkg -x "$deb" root; done

cat >server.py <<'PY'
import socket
import sys

answer = b"\0\6" + (b"tsize\x000\0" if sys.argv[1] == "tsize" else b"blksize\x00512\0")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1], flush=True)
    request, peer = s.recvfrom(2000)
    assert b"\0tsize\x000\0" in request and b"\0blksize\x00512\0" in request, request
    s.sendto(answer, peer)
    s.settimeout(5)
    try:
        while True:
            packet, peer = s.recvfrom(2000)
            if packet == b"\0\4\0\0":
                s.sendto(b"\0\3\0\1", peer)
            elif packet[:2] == b"\0\5" or packet == b"\0\4\0\1":
                break
    except TimeoutError:
        pass
PY

fetch() {
	python3 server.py "$1" >up &
	until [ -s up ]; do sleep 0.1; done
	status=0
	LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/bin/curl -sv -o got \
		"tftp://127.0.0.1:$(cat up)/empty" 2>said || status=$?
	wait
	rm up
	echo "OACK with $1: exit status $status $(grep -o "invalid tsize.*" said)"
}

tsize=$(fetch tsize)
without=$(fetch blksize)
printf '%s\n' "$tsize" "$without"
[ "$tsize" = "OACK with tsize: exit status 71 invalid tsize -:0:- value in OACK packet" ]
[ "$without" = "OACK with blksize: exit status 0 " ]
