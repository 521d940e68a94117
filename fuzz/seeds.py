"""What a corpus begins with: the golden vectors, and for parsers without vectors what their writers
write. `python -m fuzz.seeds` puts it into build/fuzz/NAME, to be fuzzed on and minimised."""

import io
import tarfile
import zlib
from struct import pack

from fuzz.given import (
    CHUNK,
    INDEX,
    KEYS,
    NETWORK,
    PAYLOAD,
    PID,
    RID,
    SIGNED,
    VECTORS,
    join,
    vectors,
)  # fmt: skip
from swdist.formats import ipc, tftp, usign
from swdist.formats.bits import to_hex
from swdist_host import sigfile

WORK = VECTORS.parent.parent / "build/fuzz"
CONFIG = b"""# all options
config swdist 'main'
\toption store '/a/store'
\toption state "/a/st\\"ate"
\toption run /a/run/
\toption quota_kb 2048
\toption relay_kb 128
\toption hold 1
\tlist group 'pilot-a'
\tlist group north_2
\toption confirm_s '60'
\toption boot_horizon_s 0
\toption tftp_port 27183
\toption log stderr
\toption log_level debug
\toption board tplink,archer-c7
\toption factory_version 1.2.3
\toption set_clock 1
\toption user root
\toption beacon_ms 500
\tlist interface 'mesh0'
\tlist interface "br-lan"

config other
"""


def public_key(key_id, key):
    return usign.COMMENT + b"k\n" + sigfile.block(b"Ed", key_id, key).split(b"\n")[1] + b"\n"


def archive(*entries):
    """(name, data, or None for a directory)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            info.size = len(data or b"")
            tar.addfile(info, io.BytesIO(data or b""))
    return out.getvalue()[:4096]


LONG = "e" * 90 + "/" + "f" * 40


def packet(write, *values):
    buf = bytearray(tftp.PACKET_BYTES)
    return bytes(buf[: write(buf, *values)])


def data_packet(number, data):
    return pack("!HH", tftp.DATA, number) + data


def deflated(data, level):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def seeds():
    """{name: [input]}."""
    datagrams = [bytes.fromhex(c["hex"]) for c in vectors("datagrams")["cases"]]
    signatures = [c["signatures"].encode() for c in SIGNED["cases"]]
    keys = [public_key(i, k) for i, k in KEYS.items()]
    network = b"name: x\nid: " + to_hex(NETWORK).encode() + b"\n"
    rid, pid = to_hex(RID).encode(), to_hex(PID).encode()
    ask = packet(tftp.put_request, b"1/x/0", 1428, 16)
    plain = b"\0\1name\0octet\0"
    ack = [pack("!HH", tftp.ACK, n) for n in range(8)]
    oack = b"\0\6blksize\x001428\0windowsize\x0016\0tsize\x001500\0"
    keep = b"\0\6blksize\x00100\0windowsize\x0016\0keep\x001\0"
    error = packet(tftp.put_error, 0, tftp.BUSY)
    here, near = 2 << 5, 1 << 5  # 20 ms and 0.5 ms later
    return {
        "manifest": [bytes.fromhex(c["hex"]) for c in vectors("manifests")],
        "signatures": signatures,
        "key": [*keys, *signatures, usign.COMMENT + b"k\nWHk=\n", usign.COMMENT + b"\nWHl6\n"],
        "ca": [join([(0, network), (1, b"2\n"), *((2 + n, k) for n, k in enumerate(keys))])],
        "ipc": [
            ipc.pack_time(1 << 40, -(1 << 50), 1000, True, 3), ipc.pack_store(),
            ipc.pack_own(1, 65535),
            ipc.pack_active(b"r" * 32, (1, 2, 3), 4, True, [b"f" * 32] * 16, True, b"l" * 16),
            ipc.pack_active(b"r" * 32, (1, 2, 3), 4, False, [], False, bytes(16)),
        ],
        "uci": [CONFIG, b"package x\n" + CONFIG, b"config a 'b c'\noption x \\'\n"],
        "config": [
            CONFIG,
            b"--set\0interface=a,b\0--set=board=x\0--lab-clock\x003.5,-20\0" + CONFIG,
            b"--check\0" + CONFIG, b"--help\0", b"--version\0", b"--config\0/none\0",
            b"--config=/etc/config/swdist\0" + CONFIG,
        ],
        "archive": [
            archive(("d", None), ("d/a", b"a" * 700), (LONG, b"")), archive()[:1024],
            *(archive((name, b"x")) for name in ("../outside", "/outside", "a//b", "a/../b", ".")),
            archive(("a", b"x"), ("a", b"y"), ("a/b", b"z")), archive(("a", None), ("a", b"x")),
            archive(("a", b"x" * 2000))[:2600], b"\n".ljust(512),
        ],
        "datagram": datagrams,
        "node": [
            join([(n, d) for n in (33, 2, 99, 225)]) for d in datagrams if len(d) < 200
        ] + [join([(n * 37 & 255, datagrams[n % 3]) for n in range(40)])],
        "request": [
            ask, plain, b"\0\2x\0OCTET\0tsize\x000\0", b"\0\1x\0netascii\0",
            b"\0\1x\0octet\0blksize\x001\0blksize\x002\0", b"\0\1x\0octet\0a\0",
        ],
        "get": [
            join([(here, oack), (near, data_packet(1, bytes(1428))), (near, data_packet(2, b"x"))]),
            join([(here, data_packet(n, bytes(512))) for n in range(1, 5)]
                 + [(here, data_packet(5, b""))]),
            join([(here, oack)]
                 + [(near, data_packet(n, bytes(1428))) for n in (1, 2, 4, 5, 2, 3)]),
            join([(here, keep)]
                 + [(near, data_packet(n, bytes(100))) for n in (1, 3, 4, 2, 6, 5, 7)]
                 + [(near, data_packet(8, b""))]),
            join([(here, error), (255, b""), (here + 1, data_packet(1, b"z"))]),
            join([(here, b"\0\6blksize\x008\0"), (here, oack), (224, b"")] * 2),
        ],
        "serve": [
            join([(8, ask), (here, ack[0]), (here, ack[1]), (here, ack[3])]),
            join([(8, plain), *((here, a) for a in ack[1:])]),
            join([(8, plain), (168, plain), (168, plain), (224, plain), (224, plain)]),
            join([(8 + n, ask) for n in range(4)] + [(96, error), (8, plain)]),
            join([(8, ask)] + [(here, ack[0])] * 6),
            join([(8, b"\0\2x\0octet\0"), (8, b"\0\1-\0octet\0"), (0, ask), (8, ack[1])]),
        ],
        "state": [
            join([(0, rid + b"\n"), (1, b"1" * 64 + b"\n"),
                  (2, rid + b" why\n" + b"2" * 64 + b"\n"), (3, rid + b"..")]),
            join([(0, b"0" * 64), (1, rid[:63]), (2, b"\n\n" + b"\xff" * 70), (3, b"\xff")]),
        ],
        "index": [
            INDEX, INDEX[:-1], INDEX + b"x", b"", INDEX[:32], INDEX + INDEX[32:] * 3,
            INDEX[:48] + b"\0\0\0\0\0", INDEX[:48] + b"\xff\xf0\xff\xf0\0", INDEX[:-1] + b"\1",
        ],
        "inflate": [
            *(b"\x40\0" + deflated(PAYLOAD[:64], level) for level in (0, 1, 9)),
            b"\x27\x10" + deflated(PAYLOAD, 9), b"\0\0" + deflated(bytes(65536), 9),
            b"\x10\0" + deflated(b"".join(b"%d," % (n * n) for n in range(900))[:CHUNK], 9),
            b"\0\1\x63\0\0", b"\0\1\x63\0\0\0", b"\0\1\x03\0", b"\0\1\x07",
        ],
        "chunks": [
            join([(0, b"\0\5stays"), (1, b"\x10\0" + deflated(bytes(CHUNK), 9))]),
            join([(1, b"\x10\0" + deflated(PAYLOAD[:CHUNK], 9)), (0, b"\0\1x")]),
            join([(0, b"\0\5stays")] * 100), join([(4, b"\0\5stays"), (8, b"\0\1x")]),
            join([(0, b"\0\6stays")]), join([(2, b"\0\5stays")]), join([(1, b"\0\5stay")]), b"",
        ],
        "store": [
            b"", join([(4 + 8, b"\x10\1")]), join([(3 + 16, b"\0\0\1")]), join([(0, b"x")]),
            join([(4 + 16, (2 * CHUNK).to_bytes(2, "big") + b"x")]), join([(4 + 24, b"")]),
            join([(1, signatures[1])]), join([(4, PAYLOAD + b"x")]), join([(5, b"")]),
            join([(2 + 24, b"")]), join([(3 + 8, b"\0\x15")]), join([(2, INDEX + INDEX[32:])]),
        ],
        "names": [
            *(b"1/%s/%s" % (rid, part) for part in (b"manifest", b"signatures", b"index", b"0")),
            *(
                b"1/%s/%s" % (pid, part)
                for part in (b"index", b"0", b"3", b"4", b"0-3", b"1-1", b"1-65534", b"2-3", b"3-2",
                             b"01", b"1-", b"-1", b"1-02", b"65535", b"manifest", b"../../secret")
            ),
        ],
    }  # fmt: skip


def main():
    for name, inputs in seeds().items():
        folder = WORK / name
        folder.mkdir(parents=True, exist_ok=True)
        for n, data in enumerate(inputs):
            (folder / f"seed-{n}").write_bytes(data)


if __name__ == "__main__":
    main()
