#!/bin/sh
# atftpd sends a first block again as a packet of three bytes.
#
# What was done: a client asks for a file of two blocks without any option (RFC 1350), and sends its
# ACK of block 1 late, so that the server's timer runs out. This is what one lost packet does.
# Seen, atftpd 0.8.0-3 of Debian 12: DATA 1 is a packet of 516 bytes, as it should be; five seconds later
# what should be the same packet has 3 bytes, too few for a block number. A client that has lost the
# first one never gets it. With an option in the request (an OACK comes first) the repeated one is whole.
# Expected: the same DATA again (RFC 1350, section 2). A client that wants to get through loss from this
# server sends any option, such as tsize.
set -eu

version=0.8.0-3
folder=$(mktemp -d)
trap 'kill $server 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q "atftpd=$version" libwrap0 libpcre2-8-0 >apt.log 2>&1 || { cat apt.log; exit 1; }
for deb in ./*.deb; do dpkg -x "$deb" root; done
mkdir files
chmod 755 . files
head -c 600 /dev/zero | tr '\0' x >files/two-blocks

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
LD_LIBRARY_PATH=$(echo root/usr/lib/*-linux-gnu) root/usr/sbin/atftpd --daemon --no-fork \
	--port "$port" --bind-address 127.0.0.1 --user "$(id -un).$(id -gn)" --logfile log "$PWD/files" &
server=$!
sleep 1

cat >client.py <<'PY'
import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(20)
    s.sendto(b"\0\1two-blocks\0octet\0" + (b"tsize\x000\0" if sys.argv[1] else b""), ("127.0.0.1", int(sys.argv[2])))
    data, peer = s.recvfrom(2000)
    if data[1] == 6:  # an OACK
        s.sendto(b"\0\4\0\0", peer)
        data, _ = s.recvfrom(2000)
    again, _ = s.recvfrom(2000)
    print(f"DATA 1: {len(data)} bytes, then again: {len(again)} bytes")
    s.sendto(b"\0\5\0\0done\0", peer)
PY
plain=$(python3 client.py "" "$port")
echo "no option: $plain"
with=$(python3 client.py tsize "$port")
echo "tsize:     $with"
[ "$plain" = "DATA 1: 516 bytes, then again: 3 bytes" ]
[ "$with" = "DATA 1: 516 bytes, then again: 516 bytes" ]
