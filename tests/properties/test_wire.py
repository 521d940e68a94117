"""Datagrams and TFTP: what one side writes the other reads, and damage is a refusal."""

import io
from struct import pack, unpack_from

from hypothesis import example, given
from hypothesis import strategies as st

from fuzz import targets
from fuzz.given import NETWORK, dice, join
from fuzz.seeds import data_packet, packet, seeds
from swdist.formats import datagram, tftp
from swdist.machines.tftpget import DONE, Get
from swdist.machines.tftpserve import Serve
from swdist.storage.payloads import File

from .common import cut, flipped, quick

DIGEST = st.binary(min_size=8, max_size=8)
U8 = st.integers(0, 255)
U16 = st.integers(0, 65535)
U32 = st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
I32 = st.integers(-(1 << 31), (1 << 31) - 1)
VERSION = st.tuples(U16, U16, U16)
ID = st.binary(min_size=32, max_size=32)


# --- datagrams


def tlvs(buf, n):
    """[(type, offset of the value)] of an accepted datagram."""
    found = []
    at = datagram.first_tlv(buf)
    while at < n:
        found.append((buf[at], at + 3))
        at = datagram.next_tlv(buf, at)
    return found


BEACON = st.tuples(U64, I64, U32, I32, VERSION, U16, U8, U16, U32)


@quick
@given(U64, BEACON, st.lists(st.tuples(U64, I64, U64), max_size=60), st.none() | VERSION, U32)
def test_beacon_is_read_as_written(nonce, says, echoes, pending, seed):
    w = datagram.Writer(NETWORK, nonce, dice(seed & 0xFFFFFFF))
    w.beacon(*says)
    for echo in echoes:
        w.echo(*echo)
    if pending is not None:
        w.pending(pending, 7, 1 << 40, 100)
    w.grease()
    assert datagram.kind(w.buf, w.n, NETWORK) == datagram.BEACON and w.n <= datagram.MAX_BYTES
    f = unpack_from(datagram.BEACON_FORM, w.buf, datagram.HEADER_BYTES)
    counter, offset, error, rate, version, revision, state, port, digest = says
    assert f[:5] == (nonce, counter, offset, error, rate)
    assert f[5:] == (*version, revision, state, 0, port, digest)
    read = [
        unpack_from(datagram.ECHO_FORM, w.buf, at)
        for what, at in tlvs(w.buf, w.n)
        if what == datagram.TLV_ECHO
    ]
    assert read == echoes[: len(read)] and (len(read) == len(echoes) or len(read) >= 40)
    for what, at in tlvs(w.buf, w.n):
        if what == datagram.TLV_PENDING:
            said = unpack_from(datagram.PENDING_FORM, w.buf, at)
            assert said == (*pending, 7, 0xFFFFFFFF, 100, 0)


RELEASES = st.lists(st.tuples(ID, VERSION, U16, U8), max_size=30)
PAYLOADS = st.lists(st.tuples(ID, U8, U16, U16), max_size=30)


@quick
@given(U64, DIGEST, U16, RELEASES, PAYLOADS)
def test_announce_is_read_as_written(nonce, digest, port, releases, payloads):
    w = datagram.Writer(NETWORK, nonce, dice())
    w.announce(digest, len(releases), port)
    taken = [r for r in releases if w.release(*r)]
    assert taken == releases[: len(taken)] and (len(taken) == len(releases) or len(taken) >= 20)
    payloads_taken = [p for p in payloads if w.payload(*p)]
    assert payloads_taken == payloads[: len(payloads_taken)]
    w.grease()
    assert datagram.kind(w.buf, w.n, NETWORK) == datagram.ANNOUNCE and w.n <= datagram.MAX_BYTES
    head = unpack_from(datagram.ANNOUNCE_FORM, w.buf, datagram.HEADER_BYTES)
    assert head == (nonce, digest, len(releases), port)
    read = {datagram.TLV_RELEASE: [], datagram.TLV_PAYLOAD: []}
    forms = {
        datagram.TLV_RELEASE: datagram.RELEASE_FORM,
        datagram.TLV_PAYLOAD: datagram.PAYLOAD_FORM,
    }
    for what, at in tlvs(w.buf, w.n):
        if what in forms:
            read[what].append(unpack_from(forms[what], w.buf, at))
    assert read[datagram.TLV_RELEASE] == [
        (rid, *version, revision, flags, 0) for rid, version, revision, flags in taken
    ]
    assert read[datagram.TLV_PAYLOAD] == [
        (pid, flags, 0, total, held) for pid, flags, total, held in payloads_taken
    ]


def good_datagrams():
    return [d for d in seeds()["datagram"] if datagram.kind(bytearray(d), len(d), NETWORK) > 0]


def test_datagram_cut_between_its_parts_only_is_still_one():
    for good in good_datagrams():
        ends = [at - 3 for _, at in tlvs(good, len(good))]
        for data in cut(good):
            targets.read_datagram(data)
            what = datagram.kind(bytearray(data), len(data), NETWORK)
            assert (what > 0) == (len(data) in ends), len(data)


def test_datagram_with_one_bit_changed_is_read_or_dropped():
    for good in good_datagrams():
        for bit, data in flipped(good[:200]):
            targets.read_datagram(data)
            # Magic, version and network are exact; one changed bit there is another network's.
            if bit >> 3 in (0, 1, 2, 3, *range(8, 16)):
                assert datagram.kind(data, len(data), NETWORK) == datagram.REJECT_FOREIGN
            if bit % 7 == 0:
                targets.hear(join([(1, good), (33, data), (66, good)]))


# --- TFTP packets


NAME = st.binary(min_size=1, max_size=tftp.MAX_NAME_BYTES).filter(lambda name: b"\0" not in name)


@quick
@given(NAME, st.integers(0, 65464), st.integers(0, 65535))
def test_request_is_read_as_written(name, blksize, window):
    data = packet(tftp.put_request, name, blksize, window)
    op, read, options = tftp.request(data, len(data))
    assert (op, read) == (tftp.RRQ, name)
    assert (options[b"blksize"], options[b"windowsize"]) == (blksize, window)
    for short in cut(data):
        found = tftp.request(short, len(short))
        # At the end of an option it is a request with fewer of them, within one it is refused.
        if found is not None and found[0] == tftp.ERROR:
            assert found[1] in (tftp.E_ILLEGAL, tftp.E_OPTION)
        else:
            assert found is None or (found[1] == name and found[2].items() < options.items())
    for _, other in flipped(data, 3):
        targets.read_request(other)


@quick
@given(st.lists(st.tuples(st.binary(max_size=12), st.integers(0, 10**11)), max_size=9))
def test_options_are_read_as_written(pairs):
    pairs = [(name.replace(b"\0", b"x").lower(), value) for name, value in pairs]
    words = [word for name, value in pairs for word in (name, b"%d" % value)]
    data = b"".join(word + b"\0" for word in words)
    found = tftp.strings(data, 0, len(data))
    if len(words) > tftp.MAX_WORDS:
        assert found is None
        return
    assert found == words
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names) or b"" in dict(pairs):
        assert tftp.options(words) is None
    else:
        assert tftp.options(words) == {n: v for n, v in pairs if v < 10**9}


# --- transfers


def transfer(data, change=lambda n, packet: packet):
    """A client and a server in lock-step. change(n, packet) may spoil the nth packet."""
    wire = []
    client, server = b"c" * 20, b"s" * 20
    get = Get(lambda peer, port, buf, n: wire.append((True, port, bytes(buf[:n]))), 65536)
    serve = Serve(
        lambda slot, peer, port, buf, n: wire.append((False, slot, bytes(buf[:n]))),
        lambda name: File(io.BytesIO(data), 0, len(data)), 2,
    )  # fmt: skip
    now = 1000000
    get.start(server, 69, b"f", 65536, now)
    count = 0
    for _ in range(4000):
        if get.state >= DONE:
            break
        if not wire:
            soonest = [at for at in (get.next_at, serve.next_at) if at is not None]
            now = max(now, min(soonest))
            get.tick(now)
            serve.tick(now)
            continue
        to_server, at, sent = wire.pop(0)
        spoilt = bytearray(change(count, sent))
        count += 1
        now += 500
        if not to_server:
            get.receive(server, 5000 + at, spoilt, len(spoilt), now)
        elif at == 69:
            serve.request(client, 4000, spoilt, len(spoilt), now)
        else:
            serve.receive(at - 5000, client, 4000, spoilt, len(spoilt), now)
    return get


@quick
@given(st.integers(0, 65536) | st.integers(1, 45).map(lambda blocks: blocks * 1428 - 1), U8)
@example(1428, 0)
@example(1427, 0)
@example(65536, 0)
def test_file_of_any_size_arrives_whole(size, first):
    data = bytes((first + i * 7 + (i >> 8)) & 255 for i in range(size))
    get = transfer(data)
    assert get.state == DONE and bytes(get.view[: get.length]) == data


@quick
@given(st.integers(0, 65536), st.sets(st.integers(0, 80), max_size=6))
def test_file_arrives_whole_though_packets_are_lost(size, lost):
    data = bytes((i * 7 + (i >> 8)) & 255 for i in range(size))
    get = transfer(data, lambda n, sent: b"" if n in lost else sent)
    assert get.state == DONE and bytes(get.view[: get.length]) == data


@quick
@given(st.integers(0, 5000), st.integers(0, 12), st.integers(0, 1 << 14), st.booleans())
def test_one_spoilt_packet_never_hangs_a_transfer(size, which, bit, short):
    """One bit or the end is lost. UDP has a checksum, and the chunk's digest comes after: so what
    must hold is that it ends, with a file of a bounded size or a reason."""

    def change(n, sent):
        if n != which or not sent:
            return sent
        if short:
            return sent[: bit % len(sent)]
        spoilt = bytearray(sent)
        spoilt[bit // 8 % len(sent)] ^= 1 << (bit & 7)
        return spoilt

    get = transfer(bytes(size), change)
    assert get.state >= DONE and get.length <= 65536
    assert get.state == DONE or get.reason


OACK = b"\0\6blksize\x001428\0windowsize\x0016\0tsize\x001500\0"
ACK = pack("!HH", tftp.ACK, 0)


def test_packet_cut_or_with_one_bit_changed_is_heard_by_client_and_server():
    here = 2 << 5
    for good in (OACK, data_packet(1, b"x" * 20), packet(tftp.put_error, 0, tftp.BUSY)):
        for data in (*cut(good), *(d for _, d in flipped(good))):
            targets.download(join([(here, data), (here, good), (here, data_packet(2, b"y"))]))
    ask = packet(tftp.put_request, b"1/x/0", 1428, 16)
    for data in (*cut(ask), *(d for _, d in flipped(ask))):
        targets.upload(join([(8, data), (here, ACK), (here, data_packet(1, b""))]))
    for data in (*cut(ACK), *(d for _, d in flipped(ACK))):
        targets.upload(join([(8, ask), (here, data), (here, ACK), (here, data)]))
