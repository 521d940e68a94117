"""One harness a parser. Each takes any bytes and raises if the parser does, or if what comes out
breaks what the parser promises. TARGETS, at the end, has them by name."""

import hashlib
import io
import json
import sys
import zlib
from struct import pack

from fuzz.given import (
    CHUNK,
    FILES,
    INDEX,
    KEYS,
    MANIFEST,
    NETWORK,
    PAYLOAD,
    PID,
    PIECES,
    RID,
    SIGNATURES,
    TRUST,
    Log,
    dice,
    lend,
    pieces,
)  # fmt: skip
from fuzz.memory import Memory
from swdist.crypto.ucryptolib import sha256
from swdist.formats import datagram, index, ipc, manifest, tftp, uci, usign
from swdist.formats.bits import to_hex
from swdist.formats.inflate import inflate
from swdist.formats.untar import Untar
from swdist.machines.clock import Clock
from swdist.machines.neighbours import MAX_NEIGHBOURS, MAX_OFFERS, MAX_PAYLOADS
from swdist.machines.tftpget import DONE, RUNNING, Get
from swdist.machines.tftpserve import AMPLIFY, Serve
from swdist.storage.chunks import Chunks
from swdist.storage.payloads import Payloads
from swdist.storage.room import Room
from swdist.storage.slots import MAX_FAILED, Slots
from swdist.storage.store import Store
from swdist.trust import choose, verify
from swdist.wiring import config
from swdist.wiring.node import Node
from swdist.wiring.status import of_node
from swdist_host import sigfile


def one_line(text, longest=160):
    """Reasons go to logs: they must be short, and safe for a terminal."""
    assert isinstance(text, str) and 0 < len(text) <= longest, text
    assert all(" " <= c <= "~" for c in text), text


def store_with(files):
    """A store, not loaded yet, that holds these files; and its log."""
    log = Log()
    fs = Memory({"/store/" + name: held for name, held in files.items()})
    room = Room(choose.Here("b"), (1, 0, 0), 1 << 20, 1 << 20)
    return Store(fs, "/store", TRUST, log, room), fs, log


# --- formats


def values(m):
    return vars(m) | {"payloads": [vars(p) for p in m.payloads]}


def read_manifest(data):
    m, why = manifest.parse(data)
    again, why_again = manifest.parse(memoryview(bytearray(data)))
    assert why == why_again and (m is None) == (again is None)
    if m is None:
        one_line(why)
        return
    assert why is None and values(m) == values(again)
    assert m.rid == sha256(data) and len(m.network) == 8
    assert all(0 <= n <= 65535 for n in (*m.version, m.revision)) and len(m.version) == 3
    assert m.experimental == (m.end_s > 0) and (not m.end_s or m.start_s < m.end_s)
    assert 0 <= m.signed_at_s < 1 << 38 and 0 <= m.start_s < 1 << 38 and m.end_s < 1 << 38
    assert len(m.description) <= 512 and len(m.payloads) <= manifest.MAX_PAYLOADS
    assert bool(m.payloads) + m.withdrawn + m.is_keys == 1
    sizes = {}
    for p in m.payloads:
        assert 0 < len(p.kind) <= 16 and len(p.pid) == 32
        assert 1 <= p.stored <= p.size <= manifest.MAX_PAYLOAD_BYTES
        assert sizes.setdefault(p.pid, (p.size, p.stored)) == (p.size, p.stored)
        assert p.boards is None or 0 < len(p.boards) == len(set(p.boards)) <= manifest.MAX_BOARDS
        assert p.boards is None or "any" not in p.boards
    assert 0 <= m.window_s <= manifest.MAX_WINDOW_S
    assert len(m.groups) == len(set(m.groups)) <= manifest.MAX_GROUPS and 0 <= m.share <= 1000
    assert m.experimental or not (m.groups or m.share)
    assert m.is_keys == (m.version[:2] == (0, 0))
    if m.is_keys:
        assert not m.critical and not m.experimental
        assert 1 <= m.threshold <= manifest.MAX_KEYS >= len(m.keys) and not m.revision
        assert all(len(i) == 8 and len(k) == 32 for i, k in m.keys.items())
        assert 1 <= m.version[2] <= manifest.MAX_KEY_SETS and all(len(i) == 32 for i in m.keep)


def read_signatures(data):
    blocks = usign.parse_signatures(data)
    assert blocks == usign.parse_signatures(memoryview(bytearray(data)))
    if blocks is not None:
        assert 0 < len(blocks) <= usign.MAX_BLOCKS
        # The one canonical form: nobody can change a byte that still means the same.
        assert b"".join(sigfile.block(*b) for b in blocks) == data
    release, kept = TRUST.check(MANIFEST, data)
    if release is None:
        one_line(kept)
        return
    held = usign.parse_signatures(kept)
    ours = [b for b in held if b[0] == b"Ed" and b[1] in KEYS]
    assert set(held) <= set(blocks) and len(set(held)) == len(held)
    assert held[: len(ours)] == ours and len({b[1] for b in ours}) == len(ours) >= TRUST.threshold
    others = sum(len(sigfile.block(*b)) for b in held[len(ours) :])
    assert others == release.spare_bytes <= verify.MAX_SPARE_BYTES


def read_key(data):
    found = usign.parse_public_key(data)
    if found is not None:
        tag, key_id, key = found
        assert len(tag) == 2 and len(key_id) == 8 and (tag != b"Ed" or len(key) == 32)
        assert len(sigfile.fingerprint(key_id)) == 16
    block = sigfile.read(data)
    if block is not None:
        assert len(usign.parse_signatures(block)) == 1


def read_ca(data):
    """Messages are the files of a CA directory; the first byte says which."""
    names = ("network", "threshold", "a.pub", "b.pub", "c.pub", ".hidden")
    files = {"/ca/" + names[first % len(names)]: rest for first, rest in pieces(data)}
    try:
        trust = verify.load_ca(Memory(files), "/ca")
    except ValueError as e:
        one_line(str(e))
    else:
        assert 1 <= trust.threshold <= len(trust.keys) <= 3 and len(trust.network) == 8


def read_ipc(data):
    found = ipc.parse(data)
    assert found == ipc.parse(bytearray(data))
    if found is None:
        return
    assert len(data) <= 63 + 32 * ipc.MAX_FAILED
    what, *values = found
    packs = None, ipc.pack_time, ipc.pack_store, ipc.pack_active, ipc.pack_own
    assert ipc.parse(packs[what](*values)) == found


def read_uci(data):
    text = data.decode("utf-8", "replace")
    types, why = uci.parse(text)
    if types is None:
        assert why and "\n" not in why
        return
    assert why is None and len(types) <= uci.MAX_SECTIONS
    for options in types.values():
        assert len(options) <= uci.MAX_OPTIONS
        for key, value in options.items():
            assert 0 < len(key) <= 64
            held = value if isinstance(value, list) else [value]
            assert 0 < len(held) <= uci.MAX_LIST + 1
            assert all(len(v) <= uci.MAX_VALUE for v in held)


def read_config(data):
    """The last of the parts between zero bytes is the file, those before it are flags."""
    *flags, file = data.split(b"\0")
    argv = [f.decode("utf-8", "replace") for f in flags[:8]]
    fs = Memory({"/etc/config/swdist": file, "/tmp/sysinfo/board_name": file[:120]})
    err, out = io.StringIO(), io.StringIO()
    keep = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    conf = code = None
    try:
        conf = config.load(argv, "netd", fs)
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout, sys.stderr = keep
    assert not fs.touched
    if code is not None:
        assert code in (0, 1, 2)
        lines = err.getvalue().count("\n")
        most = config.MAX_INTERFACES if code == 1 else 1  # 1: some of them are not there now
        assert code == 0 or lines <= most and err.getvalue().count("\n") >= 1, err.getvalue()
        return
    assert 1 <= len(conf.interfaces) <= config.MAX_INTERFACES
    assert all(0 < len(name) <= 15 and "/" not in name for name in conf.interfaces)
    for path in (conf.store, conf.state, conf.run, conf.ca):
        assert path.startswith("/") and len(path) <= 200
    assert 64 <= conf.quota_kb <= 1048576 and 1024 <= conf.tftp_port <= 65535
    assert 1 <= conf.confirm_s <= 86400 and 0 <= conf.boot_horizon_s <= 315360000
    assert conf.beacon_ms == 0 or 200 <= conf.beacon_ms <= 60000
    assert 0 <= conf.relay_kb <= 1048576 and len(conf.groups) <= manifest.MAX_GROUPS
    assert all(manifest.is_group(name) for name in conf.groups)
    assert {conf.set_clock, conf.hold} <= {True, False} and 0 < len(conf.board) <= 64


# --- archives


def unpack(data, piece, most=1 << 20):
    """(why it is refused, or None, and the file system)."""
    fs = Memory({"/outside": b"x"})
    fs.mkdirs("/slot")
    fs.touched.clear()
    machine = Untar(fs, "/slot", most)
    why = None
    for at in range(0, len(data), piece):
        why = machine.feed(memoryview(data)[at : at + piece])
        if why is not None:
            break
    else:
        why = machine.end()
    machine.close()
    assert fs.open_files == 0 and fs.files["/outside"] == b"x"
    return why, fs


def repaired(data):
    """With true checksums: no fuzzer guesses them, and behind them the parser begins."""
    data = bytearray(data)
    at = 0
    while at + 512 <= len(data):
        if any(data[at : at + 512]):
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        size = bytes(data[at + 124 : at + 136]).rstrip(b"\0 ")
        size = int(size, 8) if size and set(size) <= set(b"01234567") else 0
        at += 512 + (size + 511) // 512 * 512
    return bytes(data)


def read_archive(data):
    unpack_twice(data)
    unpack_twice(repaired(data))


def unpack_twice(data):
    """Whole and in pieces."""
    most = len(data) // 2
    why, fs = unpack(data, max(len(data), 1), most)
    for path in fs.touched:
        assert (path + "/").startswith("/slot/"), path
        assert ".." not in path.split("/") and path.isprintable() and path.isascii()
    assert sum(len(f) for path, f in fs.files.items() if path != "/outside") <= most
    assert set(fs.modes.values()) <= {0o755}
    why_cut, cut = unpack(data, 97, most)
    assert (why, fs.files, fs.dirs) == (why_cut, cut.files, cut.dirs)
    if why is not None:
        one_line(why)


# --- datagrams


def read_datagram(data):
    """The form alone: after kind() has accepted it, whatever is unpacked lies inside."""
    buf, n = lend(data, datagram.MAX_BYTES + 1)
    what = datagram.kind(buf, n, NETWORK)
    assert what in (1, 2, 3, -1, -2, -3)
    if what < 0:
        return
    least = {datagram.TLV_ECHO: 24, datagram.TLV_PENDING: 14}
    least.update({datagram.TLV_RELEASE: 42, datagram.TLV_PAYLOAD: 38})
    fixed = {datagram.BEACON: 48, datagram.ANNOUNCE: 20, datagram.QUERY: 8}
    at = datagram.first_tlv(buf)
    assert n <= datagram.MAX_BYTES and at >= datagram.HEADER_BYTES + fixed[what]
    while at < n:
        end = datagram.next_tlv(buf, at)
        assert end <= n and end - at - 3 >= least.get(buf[at], 0) and buf[at] < 0x80
        at = end
    assert at == n


def hear(data):
    """A node that hears message after message: the first byte has the neighbour and the time."""
    rand, log = dice(), Log()
    sent = []

    def to_all(view, n):
        assert datagram.kind(view, n, NETWORK) > 0
        sent.append(n)

    def to_one(peer, port, buf, n):
        assert n <= tftp.PACKET_BYTES
        sent.append(n)

    store = store_with({})[0]  # it wants whatever it is offered
    store.load()
    gets = [Get(to_one, 65536) for _ in range(2)]
    clock = Clock(1795428000000000, 0, 4000000)
    factory = choose.factory((1, 0, 0))
    node = Node(NETWORK, 7, factory, store, clock, gets, to_all, rand, log)
    now = 1000000
    node.start(now, 0, 27183)
    for first, rest in pieces(data)[:64]:
        # 32 neighbours are more than the table holds; steps from nothing to 44 s.
        now += (0, 1000, 200000, 1500000, 5000000, 17000000, 21000000, 44000000)[first >> 5]
        buf, n = lend(rest, datagram.MAX_BYTES + 1)
        result = node.hearing.receive(bytes([first & 31]) * 20, buf, n, now)
        assert result in (0, -1, -2, -3, -4)
        buf[:] = b"\x5a" * len(buf)  # it was borrowed
        before = len(sent)
        node.tick(now)
        assert len(sent) - before <= 8 and node.next_at >= now
    rows = [row for row in node.neighbours.rows if row.peer is not None]
    assert len(rows) <= MAX_NEIGHBOURS and all(len(row.offers) <= MAX_OFFERS for row in rows)
    assert all(len(row.pieces) <= MAX_PAYLOADS >= len(row.wants) for row in rows)
    assert abs(clock.mesh_us(now)) < 1 << 63
    json.dumps(of_node(node, now))


# --- TFTP


def read_request(data):
    buf, n = lend(data, tftp.PACKET_BYTES)
    found = tftp.request(buf, n)
    if found is None:
        return
    op, name, options = found
    if op == tftp.ERROR:
        assert name in (tftp.E_ILLEGAL, tftp.E_OPTION) and 0 < len(options) < 40
        return
    assert op in (tftp.RRQ, tftp.WRQ) and 0 < len(name) <= tftp.MAX_NAME_BYTES
    assert b"\0" not in name and len(options) <= tftp.MAX_WORDS // 2
    assert all(0 <= value <= 999999999 for value in options.values())


def download(data):
    """A client and what a server, or a stranger, sends it. First byte: 3 bits of time, then who
    (2 bits) and from where; 0xff stops and starts it."""
    sent = []

    def send(peer, port, buf, n):
        assert peer == b"a" * 20 and 0 < n <= len(buf)
        sent.append(n)

    limit = 3000  # less than what one input may carry
    get = Get(send, 65536)
    get.view[:] = b"\xa7" * len(get.view)
    now = 1000000
    get.start(b"a" * 20, 27183, b"1/x/0", limit, now)
    for first, rest in pieces(data)[:128]:
        now += (0, 500, 20000, 100000, 250000, 1000000, 3000000, 11000000)[first >> 5]
        before = len(sent)
        if first == 0xFF:
            get.stop()
            get.start(b"a" * 20, 27183, b"1/x/1", limit, now)
        else:
            get.tick(now)
            buf, n = lend(rest, tftp.PACKET_BYTES + 600)
            peer = b"b" * 20 if first & 24 == 24 else b"a" * 20
            result = get.receive(peer, 40000 + (first & 7), buf, n, now)
            assert result in (0, -1, -2, -3)
            buf[:] = b"\x5a" * len(buf)
        assert len(sent) - before <= 3 and 0 <= get.length <= limit
        assert (get.next_at is None) == (get.state != RUNNING)
        if get.state > DONE:
            one_line(get.reason)
        # No byte of the file but those that came: not what was there (0xa7), nor what stands
        # behind a message (0xa5).
        came = bytes(get.view[: get.length])
        assert get.state != DONE or all(c in data or c not in came for c in (0xA7, 0xA5))


class Open:
    """A file for the server, which counts what is open."""

    size = 3000

    def __init__(self, count):
        self._count = count
        count[0] += 1

    def read_into(self, offset, view):
        view[:] = PAYLOAD[offset : offset + len(view)]
        return len(view)

    def close(self):
        self._count[0] -= 1


def upload(data):
    """A server of two slots and what clients send it. First byte: 3 bits of time, then the slot
    (or the well-known port), then one of 4 peers, 2 of them at one address."""
    opened = [0]
    sent, heard = {}, {}

    def send(slot, peer, port, buf, n):
        assert -1 <= slot < 2 and 0 < n <= tftp.PACKET_BYTES
        if heard[peer, port][2]:
            return
        # Who has acknowledged nothing may be a spoofed address: no amplifier for it.
        sent[peer, port] = sent.get((peer, port), 0) + n
        got, requests, _ = heard[peer, port]
        allowed = AMPLIFY * got + requests * (tftp.HEAD_BYTES + tftp.DEFAULT_BLKSIZE)
        assert sent[peer, port] <= allowed, (sent, heard)

    serve = Serve(send, lambda name: Open(opened) if name[:1] != b"-" else None, 2)
    now = 1000000
    for first, rest in pieces(data)[:128]:
        now += (0, 500, 20000, 100000, 250000, 1000000, 3000000, 11000000)[first >> 5]
        serve.tick(now)
        peer, port = bytes([first & 2]) * 20, 40000 + (first & 3)
        buf, n = lend(rest, tftp.PACKET_BYTES)
        bytes_in, requests, acknowledged = heard.get((peer, port), (0, 0, False))
        slot = first >> 2 & 7
        if slot < 2:
            heard[peer, port] = bytes_in + n, requests, acknowledged or buf[1] == tftp.ACK
            result = serve.receive(slot, peer, port, buf, n, now)
        else:
            heard[peer, port] = bytes_in + n, requests + 1, acknowledged
            result = serve.request(peer, port, buf, n, now)
        assert result in (0, -1, -2, -3, -4)
        assert opened[0] == sum(not serve.idle(i) for i in range(2)) <= 2
        assert (serve.next_at is None) == (opened[0] == 0)


# --- what lies on flash

OTHER = b"\x11" * 32


def read_state(data):
    """Messages are the files of STATE; the first byte says which."""
    names = ("active", "confirmed", "failed", "company")
    fs = Memory({"/state/" + names[first & 3]: rest for first, rest in pieces(data)})
    for rid in (RID, OTHER):
        fs.mkdirs("/state/slots/" + to_hex(rid))
    slots = Slots(fs, "/store", "/state")
    whole = (RID, OTHER, choose.FACTORY)
    assert slots.active() in whole and slots.confirmed() in whole
    failed = slots.failed()
    assert all(len(rid) == 32 for rid in failed) and len(failed) <= 8192 // 64
    assert slots.company() in (False, True)
    slots.fail(OTHER, "why")
    slots.activate(OTHER, True)
    slots.confirm(RID)
    slots.collect([])
    again = Slots(fs, "/store", "/state")
    assert (again.active(), again.confirmed()) == (OTHER, RID)
    assert OTHER in slots.failed()
    assert len(slots.failed()) <= max(MAX_FAILED, len(failed))
    assert OTHER in again.failed()


def read_index(data):
    """Any bytes may be an index that the CA has signed: it is one, or none of it is kept."""
    counts = index.pages(data)
    fs = Memory()
    payloads = Payloads(fs, "/p")
    h = payloads.put_index(sha256(data), data, False)
    assert (h is None) == (counts is None) == (not payloads.held) == (not fs.files)
    if h is not None:
        assert len(data) == 32 + 21 * h.pages <= index.MAX_INDEX_BYTES
        assert 0 < h.pages < h.total <= index.MAX_PIECES
        assert (h.pages, h.total - h.pages) == counts and not h.held
        assert all(0 < n <= index.MAX_PAGE_BYTES for n in payloads.lengths(h, 0, h.pages))
        again = Payloads(fs, "/p")
        again.load()
        assert again.held[h.pid].total == h.total
    store, fs, _ = store_with({})
    store.add(MANIFEST, SIGNATURES)
    why = store.put_index(PID, data)
    assert (why is None) == (data == INDEX) == (store.held(PID) is not None)
    if why is not None:
        one_line(why[1])


def inflate_chunk(data):
    """Two bytes of length, 0 for 65,536, and what is to inflate to so many, and end there."""
    size = int.from_bytes(data[:2], "big") or 65536
    packed = data[2:]
    buf = memoryview(bytearray(b"\xa5" * (size + 1)))
    done = inflate(memoryview(packed), buf[:size])
    stream = zlib.decompressobj(-15)
    try:
        expected = stream.decompress(packed, size + 1)
    except zlib.error:
        expected = b""
    fits = len(expected) == size and stream.eof and not stream.unused_data
    assert done == fits and buf[size] == 0xA5
    assert not done or buf[:size] == expected


def read_chunks(data):
    """Messages are chunks, whose first byte has the encoding (2 bits), whether it ends a page and
    whether the index is of another payload; before each stands its length inflated."""
    page, pages, stored, out = b"", [], b"", []
    whole = hashlib.sha256()
    total = 0
    for first, rest in pieces(data)[:256]:
        size, piece = rest[:2].ljust(2, b"\0"), rest[2:] or b"x"
        length = int.from_bytes(size, "big") or 65536
        page += sha256(piece)[:16] + pack("!H2sB", len(piece) & 65535, size, first & 3)
        stored += piece
        total += length
        if first & 4:
            pages, page = [*pages, page], b""
        plain = piece
        if first & 3 == index.DEFLATE:
            buf = memoryview(bytearray(length))
            plain = buf if inflate(memoryview(piece), buf) else b""
        out.append(bytes(plain))
        whole.update(plain)
        if first & 8:
            whole.update(b"another")
    pages += [page] if page else []
    table = b"".join(sha256(p)[:16] + pack("!HHB", len(p), len(p), 0) for p in pages)
    head = whole.digest() + table
    fs = Memory({"/p/index": head, "/p/pages": b"".join(pages), "/p/payload": stored})
    line = manifest.Payload()
    line.pid, line.size, line.stored = sha256(head), total, len(stored)
    chunks = Chunks(fs, "/p", line)
    given = []
    why = chunks.step()
    while why is None and chunks.view is not None:
        given.append(bytes(chunks.view))
        assert sum(map(len, given)) <= total
        why = chunks.step()
    assert given == out[: len(given)]
    if why is None:
        assert given == out and sum(map(len, out)) == total
    else:
        one_line(why)
        assert why.startswith("archive:")  # for all digests hold


def read_store(data):
    """Messages are the files of STORE: good ones, but for those that are given. First byte: which
    file (3 bits); the next bits say whether it is cut, changed or replaced."""
    files = dict(FILES)
    names = (*files, f"releases/{RID.hex()}/odd", f"payloads/{PID.hex()}/x/y", "odd")
    for first, rest in pieces(data):
        name = names[first & 7]
        at = int.from_bytes(rest[:2], "big")
        held = files.get(name, b"")
        if first & 0x18 == 0:
            files[name] = rest
        elif first & 0x18 == 8:
            files[name] = held[:at]
        elif first & 0x18 == 16:
            files[name] = held[:at] + rest[2:] + held[at + len(rest[2:]) :]
        else:
            files.pop(name, None)
    store, fs, log = store_with(files)
    fs.mkdirs("/store/releases/" + to_hex(OTHER) + ".new")
    store.load()
    assert fs.listdir("/store/releases") == [to_hex(r.rid) for r in store.releases]
    assert fs.listdir("/store/payloads") == [to_hex(pid) for pid in store.payloads.held]
    assert all((path + "/").startswith("/store/") for path in fs.touched)
    for line in log.lines:
        one_line(line)
    h = store.held(PID)
    if not store.releases:
        assert h is None
        return
    manifest_name, _, index_name, pages_name, payload_name = names[:5]
    assert files.get(manifest_name) == MANIFEST
    assert (h is not None) == (files.get(index_name) == INDEX)
    good = 0
    if h is not None and files.get(pages_name, b"").startswith(PIECES[0]):
        good = 1
        payload = files.get(payload_name, b"")
        while good < 4 and payload[(good - 1) * CHUNK :].startswith(PIECES[good]):
            good += 1
        if len(payload) > len(PAYLOAD):
            good = 1
    assert h is None or (h.held == good and h.complete() == (good == 4))
    line = store.releases[0].manifest.payloads[0]
    assert store.ready(None, line) == (good == 4)
    for n in range(5):
        part = store.open(b"1/%s/%d" % (to_hex(PID).encode(), n))
        assert (part is not None) == (n < good)
        if part is not None:
            view = memoryview(bytearray(CHUNK))
            assert part.read_into(0, view) == len(PIECES[n]) == part.size
            assert view[: part.size] == PIECES[n]
            part.close()


def ask_store(data):
    """Names that a TFTP client asks for: nothing but what is verified can be had."""
    store, _, _ = store_with(FILES | {"secret": b"x"})
    store.load()
    part = store.open(data)
    if part is None:
        return
    one, key, what = data.split(b"/")
    assert one == b"1"
    view = memoryview(bytearray(70000))
    given = view[: part.read_into(0, view)]
    assert len(given) == part.size
    part.close()
    if what in (b"manifest", b"signatures"):
        assert key == to_hex(RID).encode()
        assert given == {b"manifest": MANIFEST, b"signatures": SIGNATURES}[what]
    elif what == b"index":
        assert key == to_hex(PID).encode() and given == INDEX
    else:
        first, _, last = what.partition(b"-")
        first, last = int(first), int(last or first)
        assert key == to_hex(PID).encode() and first <= last and first < 4
        assert what in (b"%d" % first, b"%d-%d" % (first, last))
        end = 1 if first == 0 else min(last + 1, 4)  # pages and chunks lie in two files
        assert given == b"".join(PIECES[first:end])


TARGETS = {
    "manifest": read_manifest,
    "signatures": read_signatures,
    "key": read_key,
    "ca": read_ca,
    "ipc": read_ipc,
    "uci": read_uci,
    "config": read_config,
    "archive": read_archive,
    "datagram": read_datagram,
    "node": hear,
    "request": read_request,
    "get": download,
    "serve": upload,
    "state": read_state,
    "index": read_index,
    "inflate": inflate_chunk,
    "chunks": read_chunks,
    "store": read_store,
    "names": ask_store,
}
