import os

from logs import Log

from swdist import manifest as manifest_format
from swdist.bits import to_hex
from swdist.platform import Fs
from swdist.store import MAX_VERSIONS, RESERVE, SCRUB_TURNS, Store
from swdist.ucryptolib import sha256
from swdist.verify import Release

CHUNK = 4096
PAYLOAD = bytes([i * 7 % 251 for i in range(CHUNK)]) + b"b" * CHUNK + b"end"
KB = 1024
_count = [0]


class Trust:
    """Stands in for verify.Trust: signatures are good if they say so."""

    baked = ()

    def check(self, manifest, signatures):
        m, why = manifest_format.parse(manifest)
        if m is None:
            return None, why
        if bytes(signatures) != b"good":
            return None, "signatures: malformed"
        return Release(m), None

    def adopt(self, release):
        return False


class Box:
    """A store in a fresh directory, and what is put into it."""

    def __init__(self, quota=64 * KB, fs=None):
        _count[0] += 1
        self.fs = fs or Fs()
        stamp = to_hex(open("/dev/urandom", "rb").read(8))
        self.path = "/tmp/swdist-store-%s-%d" % (stamp, _count[0])
        self.quota = quota
        self.log = Log()
        self.store = self.again()

    def again(self):
        """As after a restart."""
        self.store = Store(self.fs, self.path, Trust(), self.log, self.quota)
        self.store.load()
        return self.store

    def dir(self, release):
        return self.path + "/" + to_hex(release.rid)

    def write(self, path, data):
        with open(path, "wb") as f:
            f.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        Fs().rmtree(self.path)


def chunks(payload):
    return [payload[i : i + CHUNK] for i in range(0, len(payload), CHUNK)]


def index(payload):
    return b"".join([sha256(c) for c in chunks(payload)])


def manifest(version="1.0.0", revision=0, payload=PAYLOAD, signed="2030-01-01T00:00:00Z"):
    """payload None: withdrawn."""
    text = "Format: swdist-release 1\nNetwork: 0011223344556677\nVersion: %s\nRevision: %d\n" % (
        version,
        revision,
    )
    text += "Channel: stable\nSigned-At: %s\nStart: 2030-01-02T00:00:00Z\nBoards: any\n" % signed
    if payload is None:
        return (text + "Payload: none\nWithdrawn: yes\n").encode()
    text += "Payload: slot\nPayload-Size: %d\nChunk-Size: %d\nIndex-SHA256: %s\n" % (
        len(payload),
        CHUNK,
        to_hex(sha256(index(payload))),
    )
    return text.encode()


def add(store, *args, **more):
    release, why = store.add(manifest(*args, **more), b"good")
    assert why is None, why
    return release


def fill(store, release, payload=PAYLOAD, upto=None):
    assert store.put_index(release, index(payload)) is None
    pieces = chunks(payload)
    for n in range(release.held, len(pieces) if upto is None else upto):
        why = store.put_chunk(release, n, memoryview(pieces[n]))
        assert why is None, why


def content(store, name):
    file = store.open(name)
    if file is None:
        return None
    buf = bytearray(file.size + 10)
    n = file.read_into(0, memoryview(buf))
    file.close()
    return bytes(buf[:n])


def test_an_empty_store():
    with Box() as b:
        assert b.store.releases == []
        assert b.store.digest() == sha256(b"")[:8]
        assert b.store.newest_signed_at_s() == 0
        assert b.store.get(bytes(32)) is None


def test_a_release_grows_chunk_by_chunk():
    with Box() as b:
        r = add(b.store)
        assert (r.indexed, r.held, r.complete) == (False, 0, False)
        assert b.store.wanted(r)
        assert b.store.get(r.rid) is r
        assert b.store.newest_signed_at_s() == r.manifest.signed_at_s
        fill(b.store, r, upto=2)
        assert (r.indexed, r.held, r.complete) == (True, 2, False)
        fill(b.store, r)
        assert (r.held, r.complete) == (3, True)
        assert not b.store.wanted(r)
        assert b.fs.read(b.dir(r) + "/payload", 99999) == PAYLOAD


def test_what_is_refused():
    with Box() as b:
        assert b.store.add(b"junk", b"good")[0] is None
        assert b.store.add(manifest(), b"bad") == (None, "signatures: malformed")
        r = add(b.store)
        data = index(PAYLOAD)
        pieces = chunks(PAYLOAD)
        assert b.store.put_chunk(r, 0, pieces[0]).startswith("store:")
        assert b.store.put_index(r, data[:-1]).startswith("index:")
        assert b.store.put_index(r, data[:-1] + b"x").startswith("index:")
        assert b.store.put_index(r, data) is None
        assert b.store.put_chunk(r, 1, pieces[1]).startswith("store:")
        assert b.store.put_chunk(r, 0, pieces[1]).startswith("chunk 0:")
        assert b.store.put_chunk(r, 0, pieces[0][:-1]).startswith("chunk 0:")
        assert b.store.put_chunk(r, 0, pieces[0]) is None
        assert b.store.put_chunk(r, 0, pieces[0]).startswith("store:")


def test_the_same_release_twice_is_one():
    with Box() as b:
        r = add(b.store)
        assert add(b.store) is r
        assert len(b.store.releases) == 1


def test_restart_goes_on_behind_the_last_good_chunk():
    with Box() as b:
        r = add(b.store)
        fill(b.store, r, upto=2)
        r = b.again().releases[0]
        assert (r.indexed, r.held, r.complete) == (True, 2, False)
        b.write(b.dir(r) + "/payload", PAYLOAD[:CHUNK] + b"x" + PAYLOAD[CHUNK + 1 :])
        r = b.again().releases[0]
        assert r.held == 1
        fill(b.store, r)
        assert r.complete
        r = b.again().releases[0]
        assert r.complete
        assert b.fs.read(b.dir(r) + "/payload", 99999) == PAYLOAD


def test_restart_removes_what_is_malformed():
    with Box() as b:
        one = add(b.store, "1.0.0")
        two = add(b.store, "2.0.0")
        three = add(b.store, "3.0.0")
        fill(b.store, three)
        b.write(b.dir(one) + "/signatures", b"bad")
        b.fs.rename(b.dir(two), b.path + "/" + "ab" * 32)
        b.fs.mkdirs(b.path + "/" + "cd" * 32 + ".new")
        b.write(b.path + "/time", b"1")
        b.write(b.dir(three) + "/index", b"x")
        ticks = []
        store = Store(b.fs, b.path, Trust(), b.log, b.quota)
        store.load(lambda: ticks.append(1))
        assert [r.rid for r in store.releases] == [three.rid]
        assert sorted(os.listdir(b.path)) == sorted([to_hex(three.rid), "time"])
        assert (store.releases[0].indexed, store.releases[0].held, ticks) == (False, 0, [])
        fill(store, store.releases[0], upto=0)
        assert store.releases[0].complete  # the payload was there all the time


def test_a_payload_too_long_is_fetched_again():
    with Box() as b:
        r = add(b.store)
        fill(b.store, r)
        b.write(b.dir(r) + "/payload", PAYLOAD + b"x")
        r = b.again().releases[0]
        assert (r.held, r.complete) == (0, False)
        fill(b.store, r)
        assert b.fs.read(b.dir(r) + "/payload", 99999) == PAYLOAD


def test_a_later_revision_replaces_and_keeps_the_same_payload():
    with Box() as b:
        old = add(b.store, revision=0)
        fill(b.store, old)
        new = add(b.store, revision=1)
        assert b.store.releases == [new]
        assert new.complete
        assert os.listdir(b.path) == [to_hex(new.rid)]
        assert b.store.add(manifest(revision=0), b"good")[1].startswith("store:")
        other = add(b.store, revision=2, payload=b"other")
        assert (other.held, other.indexed) == (0, False)
        gone = add(b.store, revision=3, payload=None)
        assert gone.complete
        assert not b.store.wanted(gone)
        assert os.listdir(b.path) == [to_hex(gone.rid)]


def test_a_power_cut_between_the_renames_loses_nothing():
    with Box() as b:
        old = add(b.store, revision=0)
        fill(b.store, old)
        new = Box(fs=b.fs)
        with new:
            release = add(new.store, revision=1)
            b.fs.rename(new.dir(release), b.dir(release))
        b.fs.rename(b.dir(old) + "/index", b.dir(release) + "/index")
        r = b.again().releases
        assert [x.rid for x in r] == [release.rid]
        assert r[0].complete
        assert os.listdir(b.path) == [to_hex(release.rid)]


def test_the_digest_is_of_the_sorted_ids():
    with Box() as b:
        rids = [add(b.store, "1.0.%d" % i).rid for i in range(5)]
        digest = sha256(b"".join(sorted(rids)))[:8]
        assert b.store.digest() == digest
        assert b.again().digest() == digest


def test_names_of_the_tftp_server():
    with Box() as b:
        r = add(b.store)
        fill(b.store, r, upto=2)
        rid = to_hex(r.rid)

        def get(rest):
            return content(b.store, ("1/%s/%s" % (rid, rest)).encode())

        assert get("manifest") == manifest()
        assert get("signatures") == b"good"
        assert get("index") == index(PAYLOAD)
        assert get("0") == PAYLOAD[:CHUNK]
        assert get("1") == PAYLOAD[CHUNK : 2 * CHUNK]
        for rest in ("2", "01", "-1", "", "payload", "manifest/", "../x", "99999999999"):
            assert get(rest) is None
        for name in (b"", b"1", b"2/%s/manifest" % rid.encode(), b"1/\xff/manifest", b"\0" * 99):
            assert b.store.open(name) is None
        assert b.store.open(("1/%s/manifest" % rid.upper()).encode()) is None
        assert b.store.open(("1/%s/manifest" % ("0" * 64)).encode()) is None
        fill(b.store, r)
        file = b.store.open(("1/%s/2" % rid).encode())
        assert file.size == 3
        buf = bytearray(512)
        assert file.read_into(1, memoryview(buf)) == 2
        assert bytes(buf[:2]) == b"nd"
        assert file.read_into(3, memoryview(buf)) == 0
        file.close()


def test_the_quota_keeps_the_highest_versions():
    with Box(quota=21 * KB) as b:
        one, two = add(b.store, "1.0.0"), add(b.store, "2.0.0")
        fill(b.store, one)
        fill(b.store, two)
        three = add(b.store, "3.0.0")
        assert b.store.wanted(three)
        assert one.complete  # nothing goes before room is needed
        fill(b.store, three, upto=1)
        assert one.complete
        fill(b.store, three)
        assert (one.complete, one.held) == (False, 0)
        assert two.complete and three.complete
        assert not b.store.wanted(one)
        lines = len(b.log.lines)
        assert not b.store.wanted(one)
        assert len(b.log.lines) == lines
        assert b.again().releases[0].held == 0


def test_what_is_pinned_stays():
    with Box(quota=20 * KB) as b:
        one, two = add(b.store, "1.0.0"), add(b.store, "2.0.0")
        fill(b.store, one)
        fill(b.store, two)
        three = add(b.store, "3.0.0")
        b.store.collect([one.rid])
        fill(b.store, three)
        assert one.complete and three.complete and not two.complete
        b.store.collect([one.rid, three.rid])
        four = add(b.store, "4.0.0")
        assert not b.store.wanted(four)


def test_a_payload_beyond_the_quota_is_not_wanted():
    with Box(quota=4 * KB) as b:
        r = add(b.store)
        assert not b.store.wanted(r)
        assert b.store.put_index(r, index(PAYLOAD)) is None
        b.store.put_chunk(r, 0, chunks(PAYLOAD)[0])
        assert b.store.put_chunk(r, 1, chunks(PAYLOAD)[1]) == "store: over the quota"


def test_at_most_64_versions():
    with Box() as b:
        for i in range(MAX_VERSIONS):
            add(b.store, "2.0.%d" % i, payload=None)
        assert b.store.add(manifest("1.0.0"), b"good")[1].startswith("store: full")
        add(b.store, "3.0.0", payload=None)
        assert len(b.store.releases) == MAX_VERSIONS
        assert b.store.releases[0].manifest.version == (2, 0, 1)
        b.store.collect([b.store.releases[0].rid])
        add(b.store, "3.0.1", payload=None)
        assert [r.manifest.version for r in b.store.releases[:2]] == [(2, 0, 1), (2, 0, 3)]
        assert len(b.again().releases) == MAX_VERSIONS


class FullFs(Fs):
    full = False

    def sync(self, f):
        if self.full:
            raise OSError(28)
        super().sync(f)


def test_a_full_flash_is_a_reason_not_an_exception():
    fs = FullFs()
    with Box(fs=fs) as b:
        fs.full = True
        assert b.store.add(manifest(), b"good")[1].startswith("store:")
        assert b.store.releases == []
        fs.full = False
        r = add(b.store)
        fs.full = True
        assert b.store.put_index(r, index(PAYLOAD)).startswith("store:")
        fs.full = False
        assert b.store.put_index(r, index(PAYLOAD)) is None
        fs.full = True
        assert b.store.put_chunk(r, 0, chunks(PAYLOAD)[0]).startswith("store:")
        assert r.held == 0
        fs.full = False
        fill(b.store, r)
        assert b.again().releases[0].complete


class SmallFs(Fs):
    left = 1 << 30

    def free(self, path):
        return self.left


def test_some_of_a_flash_is_left_to_switch_and_to_go_back():
    with Box(fs=SmallFs()) as b:
        r = add(b.store)
        fill(b.store, r, upto=1)
        b.fs.left = RESERVE + CHUNK - 1
        for _ in range(2):
            assert b.store.put_chunk(r, 1, chunks(PAYLOAD)[1]) == "store: flash is full"
        assert r.held == 1 and b.fs.size(b.dir(r) + "/payload") == CHUNK
        assert [line for line in b.log.lines if "full" in line] == ["store: flash is full"]
        b.fs.left += 1
        fill(b.store, r, upto=2)
        assert Fs().free(b.path) > RESERVE  # of this machine


def test_chunks_that_another_release_holds_are_taken_from_there():
    a, b = chunks(PAYLOAD)[:2]
    new = b + a + b"new" * CHUNK
    new = new[: 3 * CHUNK]
    with Box() as box:
        fill(box.store, add(box.store))
        r = add(box.store, "1.1.0", payload=new)
        assert not box.store.reuse()  # without its index nothing is known
        assert box.store.put_index(r, index(new)) is None
        assert box.store.reuse() and box.store.reuse()
        assert r.held == 2 and not box.store.reuse()
        assert box.store.put_chunk(r, 2, memoryview(chunks(new)[2])) is None
        assert content(box.again(), ("1/%s/1" % to_hex(r.rid)).encode()) == a


def test_last_chunk_of_another_length_is_no_match_and_the_same_last_chunk_is():
    with Box() as box:
        fill(box.store, add(box.store))
        same = b"x" * CHUNK + PAYLOAD[2 * CHUNK :]
        r = add(box.store, "1.1.0", payload=same)
        assert box.store.put_index(r, index(same)) is None
        assert not box.store.reuse()
        assert box.store.put_chunk(r, 0, memoryview(chunks(same)[0])) is None
        assert box.store.reuse() and r.complete


def test_spoilt_chunk_of_another_release_is_not_taken():
    with Box() as box:
        old = add(box.store)
        fill(box.store, old)
        with open(box.dir(old) + "/payload", "r+b") as f:
            f.write(b"rot")
        r = add(box.store, "1.1.0", payload=PAYLOAD[: 2 * CHUNK])
        assert box.store.put_index(r, index(PAYLOAD[: 2 * CHUNK])) is None
        assert not box.store.reuse() and r.held == 0


def test_release_with_the_same_payload_moves_nothing():
    with Box() as box:
        fill(box.store, add(box.store))
        r = add(box.store, "2.0.0")
        assert box.store.put_index(r, index(PAYLOAD)) is None
        while box.store.reuse():
            pass
        assert r.complete


def spoil(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x10]))


def scrub(store, chunks):
    """So many chunks are read again, one at a time."""
    for _ in range(chunks * SCRUB_TURNS):
        store.collect([])


def test_spoilt_chunk_is_found_and_only_that_one_is_fetched_again():
    with Box() as b:
        other = add(b.store, "1.0.0", payload=PAYLOAD[:5000])
        fill(b.store, other, PAYLOAD[:5000])
        r = add(b.store, "1.1.0")
        fill(b.store, r)
        scrub(b.store, 5)
        assert r.complete and other.complete
        spoil(b.dir(r) + "/payload", CHUNK + 7)
        scrub(b.store, 5)
        assert (r.held, r.complete, other.complete) == (1, False, True)
        assert b.store.wanted(r) and b.store.open(b"1/%s/1" % to_hex(r.rid).encode()) is None
        assert len([line for line in b.log.lines if "spoilt" in line]) == 1
        assert not b.store.reuse()
        assert b.store.put_chunk(r, 1, memoryview(chunks(PAYLOAD)[1])) is None
        assert b.store.reuse() and r.complete  # what lay behind it was good
        assert b.fs.read(b.dir(r) + "/payload", 99999) == PAYLOAD


def test_spoilt_index_is_fetched_again_and_costs_no_neighbour_anything():
    with Box() as b:
        r = add(b.store)
        fill(b.store, r)
        spoil(b.dir(r) + "/index", 3)
        scrub(b.store, 1)
        assert (r.indexed, r.held) == (False, 0) and b.store.wanted(r)
        assert b.store.put_index(r, index(PAYLOAD)) is None and r.complete


def test_nothing_is_read_again_where_nothing_is_held():
    with Box() as b:
        add(b.store)
        scrub(b.store, 3)
        assert b.log.lines == []
