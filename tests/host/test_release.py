"""Releases: built reproducibly, signed by several, read strictly, refused where anything is off."""

import dataclasses
import hashlib
import io
import json
import os
import struct
import subprocess
import tarfile
import time
import tracemalloc
import zlib

import pytest
from typed import swdist

from swdist.formats import usign
from swdist_host import ca, dates, keys, kinds, pack, payload, release, sigfile, times
from swdist_host.errors import BadValue, Refused
from swdist_host.release import Source
from swdist_host.times import time_text

NETWORK = b"12345678"
NOW = 1_800_000_000
DATA = bytes(range(256)) * 100


def build(**changes):
    words = {"network": NETWORK, "version": "1.1.0", "start_s": NOW, "now_s": NOW}
    words["payloads"] = [Source("ipk", (), DATA)]
    words.update(changes)
    return release.build(**words)


@pytest.fixture(scope="module")
def signers():
    return [keys.generate() for _ in range(3)]


@pytest.fixture
def trust(signers, tmp_path):
    ca.create(tmp_path / "ca", "x", [k.public for k in signers], 2)
    return ca.load(tmp_path / "ca").trust


# --- building


def test_manifest_says_what_was_asked_for():
    m = build(
        version="1.2.3", revision=4, start_s=NOW + 10, end_s=NOW + 20, signed_at_s=NOW - 5,
        payloads=[Source("ipk", ("a", "b,c"), DATA), Source("slot", (), b"x" * 5000)],
        groups=("canary", "indoor"), share=25, description="hello",
    ).parsed  # fmt: skip
    assert (m.version, m.revision, m.network) == ((1, 2, 3), 4, NETWORK)
    assert (m.start_s, m.end_s, m.signed_at_s) == (NOW + 10, NOW + 20, NOW - 5)
    assert m.experimental and m.groups == ("canary", "indoor") and m.share == 25
    assert m.description == "hello"
    first, second = m.payloads
    assert (first.kind, first.boards, first.size) == ("ipk", ("a", "b,c"), 25600)
    assert (second.kind, second.boards, second.size) == ("slot", None, 5000)


def test_payloads_lie_in_the_order_of_their_first_line_each_once():
    other = b"other" * 100
    swd = build(
        payloads=[Source("slot", ("a",), DATA), Source("slot", ("b",), other),
                  Source("ipk", (), DATA)]
    )  # fmt: skip
    lines = swd.parsed.payloads
    assert [packed.pid for packed in swd.payloads] == [lines[0].pid, lines[1].pid]
    assert lines[2].pid == lines[0].pid
    assert [swd.packed(line).inflated() for line in lines] == [DATA, other, DATA]
    assert release.from_bytes(release.to_bytes(swd)) == swd


def test_image_is_sent_as_it_is():
    sources = [Source("image", ("a",), DATA), Source("slot", (), DATA)]
    swd = build(payloads=sources, window_s=60)
    image, slot = swd.parsed.payloads
    assert image.stored == image.size == len(DATA) and slot.stored < slot.size
    assert swd.parsed.window_s == 60 and swd.packed(image).is_plain


def test_more_boards_than_a_line_holds_go_into_several():
    boards = tuple("board-with-quite-a-long-name-%d" % n for n in range(40))
    m = build(payloads=[Source("slot", boards, DATA)]).parsed
    assert len({line.pid for line in m.payloads}) == 1 and len(m.payloads) == 4
    assert tuple(name for line in m.payloads for name in line.boards) == boards


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "1.1"},
        {"version": "1.1.65536"},
        {"version": "0.0.1"},
        {"revision": 65536},
        {"payloads": [Source("slot", ("UPPER",), DATA)]},
        {"payloads": [Source("slot", ("a", "a"), DATA)]},
        {"payloads": [Source("slot", ("any", "a"), DATA)]},
        {"payloads": [Source("slot", ("b%d" % n,), DATA) for n in range(17)]},
        {"payloads": [Source("two words", (), DATA)]},
        {"payloads": [Source("a-word-that-is-too-long", (), DATA)]},
        {"payloads": [Source("slot", (), b"")]},
        {"payloads": [Source("image", ("a",), DATA)], "window_s": 604801},
        {"groups": ("canary",)},
        {"share": 10},
        {"groups": ("Canary",), "end_s": NOW + 1},
        {"groups": ("a", "a"), "end_s": NOW + 1},
        {"share": 1001, "end_s": NOW + 1},
        {"description": "two\nlines"},
        {"description": " padded "},
        {"description": ""},
        {"payloads": ()},
        {"withdraw": True},
    ],
)
def test_release_that_no_node_would_take_is_not_built(changes):
    with pytest.raises(BadValue):
        build(**changes)


def test_release_from_the_future_is_neither_built_nor_signed(tmp_path):
    with pytest.raises(Refused, match="future"):
        build(signed_at_s=NOW + dates.FUTURE_S + 1)
    build(signed_at_s=NOW + dates.FUTURE_S)
    key = keys.generate()
    keys.save(key, tmp_path / "k", None)
    ahead = int(time.time()) + 7200
    release.save(build(now_s=ahead, start_s=ahead), tmp_path / "r.swd")
    before = (tmp_path / "r.swd").read_bytes()
    done = swdist("release", "sign", "r.swd", "--key", "k.sec", "--yes", cwd=tmp_path)
    assert done.returncode == 1 and "ahead of this host's clock" in done.stderr
    assert (tmp_path / "r.swd").read_bytes() == before


def test_manifest_never_has_a_length_that_old_usign_refuses():
    bare = len(build(description="x").manifest)
    lengths = [
        (n, len(build(description="x" * n).manifest)) for n in range(1, 200)
    ]  # every length modulo 128
    assert {(bare + n - 1) % 128 for n, _ in lengths} == set(range(128))
    assert not [n for n, length in lengths if length % 128 in (46, 47)]
    assert len([n for n, length in lengths if length != bare + n - 1]) in (2, 3, 4), "few padded"


def test_withdrawal_has_no_payload():
    swd = build(payloads=(), withdraw=True)
    assert swd.parsed.withdrawn and not swd.payloads and not swd.parsed.payloads
    with tarfile.open(fileobj=io.BytesIO(release.to_bytes(swd))) as archive:
        assert archive.getnames() == ["manifest"]


def test_end_that_is_not_after_the_start_is_said_with_both_times():
    for end_s in (NOW, NOW - 1):
        with pytest.raises(BadValue, match="is not after start 2027-01-15T08:00:00Z"):
            build(end_s=end_s)


# --- promotion


def test_promoted_release_is_stable_with_not_a_byte_changed():
    tried = build(
        end_s=NOW + 9, share=20, groups=("canary",), revision=3,
        payloads=[Source("slot", ("a",), DATA), Source("ipk", (), b"other" * 99)],
    )  # fmt: skip
    made = release.promote(tried, NOW + 100, now_s=NOW)
    m, old = made.parsed, tried.parsed
    assert (m.version, m.revision, m.experimental) == (old.version, 4, False)
    assert not m.groups and not m.share and m.start_s == NOW + 100
    assert [vars(line) for line in m.payloads] == [vars(line) for line in old.payloads]
    assert made.payloads == tried.payloads and not made.signatures
    assert release.promote(tried, NOW, version="1.2.0", now_s=NOW).parsed.revision == 0
    assert release.promote(tried, NOW, revision=9, now_s=NOW).parsed.revision == 9


def test_only_an_experiment_with_payloads_can_be_promoted():
    for swd in (build(), build(payloads=(), withdraw=True, end_s=NOW + 9)):
        with pytest.raises(BadValue, match="only an experimental release with payloads"):
            release.promote(swd, NOW, now_s=NOW)


# --- directories


def tree(folder):
    (folder / "b/c").mkdir(parents=True)
    (folder / "b/e").mkdir()
    (folder / "b/c/d").write_text("d")
    (folder / "a").write_text("a")
    (folder / "a.run").write_text("run")
    (folder / "a.run").chmod(0o755)


def test_same_tree_gives_the_same_bytes_whoever_packs_it_and_when(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tree(tmp_path / name)
    os.utime(tmp_path / "two/a", (1, 1))
    (tmp_path / "two/a").chmod(0o600)
    (tmp_path / "two/b").chmod(0o700)
    one = payload.from_dir(tmp_path / "one")
    assert one == payload.from_dir(tmp_path / "two")
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == ["a", "a.run", "b/c/d", "b/e"]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert [m.mode for m in members] == [0o644, 0o755, 0o644, 0o755]


def test_same_tree_gives_the_same_release_in_whatever_order_its_files_are_listed(
    tmp_path, monkeypatch
):
    def made():
        return release.to_bytes(
            build(payloads=[Source("slot", (), payload.from_dir(tmp_path / "t"))])
        )

    tree(tmp_path / "t")
    scandir = os.scandir
    before = made()
    monkeypatch.setattr(payload.os, "scandir", lambda path: list(scandir(path))[::-1])
    assert made() == before


def make_link(folder):
    (folder / "l").symlink_to("a")


def make_link_to_directory(folder):
    (folder / "l").symlink_to("b")


def make_fifo(folder):
    os.mkfifo(folder / "f")


def make_long_name(folder):
    (folder / ("n" * 101)).write_text("x")


def make_other_alphabet(folder):
    (folder / "ü").write_text("x")


def make_backslash(folder):
    (folder / "a\\b").write_text("x")


@pytest.mark.parametrize(
    "spoil",
    [make_link, make_link_to_directory, make_fifo, make_long_name, make_other_alphabet,
     make_backslash],
)  # fmt: skip
def test_tree_that_no_node_would_unpack_is_refused_by_name(tmp_path, spoil):
    (tmp_path / "t").mkdir()
    tree(tmp_path / "t")
    spoil(tmp_path / "t")
    with pytest.raises(Refused) as refused:
        payload.from_dir(tmp_path / "t")
    assert str(tmp_path / "t") in str(refused.value)


def test_empty_tree_is_refused(tmp_path):
    (tmp_path / "t").mkdir()
    with pytest.raises(Refused, match="empty"):
        payload.from_dir(tmp_path / "t")


def test_archive_of_another_form_is_refused_as_a_slot(tmp_path):
    (tmp_path / "t").mkdir()
    tree(tmp_path / "t")
    ca.create(tmp_path / "ca", "x", [keys.generate().public], 1)
    subprocess.run(["tar", "cf", "gnu.tar", "--format=gnu", "-C", "t", "a"], cwd=tmp_path)
    subprocess.run(["tar", "cf", "ok.tar", "--format=ustar", "-C", "t", "a"], cwd=tmp_path)
    words = "release build -o r.swd --ca ca --version 1.1.0 --start +1h --payload".split()
    done = swdist(*words, "gnu.tar", cwd=tmp_path)
    assert done.returncode == 1 and "ustar" in done.stderr and not (tmp_path / "r.swd").exists()
    assert swdist(*words, "ok.tar", cwd=tmp_path).returncode == 0


# --- signing and verifying


def signed(by, **changes):
    swd = build(**changes)
    for key in by:
        swd = release.sign(swd, key)
    return swd


def test_as_many_keys_as_the_threshold_says_verify_it(signers, trust):
    network = trust.network
    assert release.verify(signed(signers[:2], network=network), trust).manifest.payloads
    assert release.verify(signed(signers, network=network), trust)
    with pytest.raises(Refused, match="1 of the 2"):
        release.verify(signed(signers[:1], network=network), trust)
    with pytest.raises(Refused, match="no signatures"):
        release.verify(signed([], network=network), trust)
    with pytest.raises(Refused, match="0 of the 2"):
        release.verify(signed([keys.generate(), keys.generate()], network=network), trust)
    with pytest.raises(Refused, match="network"):
        release.verify(signed(signers, network=b"another!"), trust)


def test_same_key_signs_once(signers):
    once = signed(signers[:1])
    assert release.sign(once, signers[0]) is once
    assert len(once.signers) == 1


def test_same_key_twice_changes_no_byte_and_says_so(tmp_path):
    keys.save(keys.generate(), tmp_path / "k", None)
    release.save(build(now_s=None), tmp_path / "r.swd")
    words = "release sign r.swd --key k.sec --yes".split()
    assert swdist(*words, cwd=tmp_path).returncode == 0
    before = (tmp_path / "r.swd").stat()
    done = swdist(*words, cwd=tmp_path)
    assert done.returncode == 0 and "already" in done.stdout
    after = (tmp_path / "r.swd").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_seventeenth_signature_is_refused():
    swd = build()
    for _ in range(usign.MAX_BLOCKS):
        swd = release.sign(swd, keys.generate())
    with pytest.raises(Refused, match="16 signatures"):
        release.sign(swd, keys.generate())


def test_signature_over_something_else_is_refused_and_nothing_changes(tmp_path, signers):
    ca.create(tmp_path / "ca", "x", [k.public for k in signers], 2)
    network = ca.load(tmp_path / "ca").trust.network
    swd = signed(signers[:1], network=network, now_s=int(time.time()))
    release.save(swd, tmp_path / "r.swd")
    before = (tmp_path / "r.swd").read_bytes()
    key = signers[1]
    good = sigfile.block(b"Ed", key.key_id, key.sign(swd.manifest))
    for data, why in [
        (sigfile.block(b"Ed", key.key_id, key.sign(b"other")), "not over this manifest"),
        (good[:-5], "not a signature file"),
        (b"rubbish", "not a signature file"),
        (b"", "not a signature file"),
        (key.public.text, "not a signature file"),
    ]:
        (tmp_path / "s.sig").write_bytes(data)
        done = swdist(*"release sign r.swd --signature s.sig --ca ca --yes".split(), cwd=tmp_path)
        assert done.returncode == 1 and why in done.stderr, (data, done.stderr)
        assert done.stderr.count("\n") == 1
        assert (tmp_path / "r.swd").read_bytes() == before
    (tmp_path / "s.sig").write_bytes(good)
    done = swdist(*"release sign r.swd --signature s.sig --ca ca --yes".split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert swdist(*"release verify r.swd --ca ca".split(), cwd=tmp_path).returncode == 0


def test_extracted_manifest_is_what_is_signed(tmp_path):
    swd = build(now_s=int(time.time()))
    release.save(swd, tmp_path / "r.swd")
    done = swdist(*"release sign r.swd --extract-manifest m".split(), cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "m").read_bytes() == swd.manifest
    done = swdist(*"release sign r.swd --extract-manifest m".split(), cwd=tmp_path)
    assert done.returncode == 1 and "exists" in done.stderr


def test_release_with_one_changed_byte_is_refused_wherever_it_is(signers, trust):
    sources = [Source("slot", ("a",), DATA), Source("slot", (), os.urandom(20_000))]
    swd = signed(signers[:2], network=trust.network, payloads=sources)
    raw = release.to_bytes(swd)
    release.verify(release.from_bytes(raw), trust)
    parts = [swd.manifest, swd.signatures]
    for packed in swd.payloads:
        parts += [packed.index, b"".join(packed.pieces)]
    for data in parts:
        base = raw.index(data)
        for at in sorted({0, 1, len(data) // 3, len(data) // 2, len(data) - 1}):
            changed = bytearray(raw)
            changed[base + at] ^= 1
            if data is swd.signatures and at == 0:
                continue  # its first line is covered below
            with pytest.raises(Refused):
                release.verify(release.from_bytes(bytes(changed)), trust)


def test_payload_that_was_exchanged_with_its_index_is_refused(signers, trust):
    swd = signed(signers, network=trust.network)
    other = build(payloads=[Source("ipk", (), bytes(len(DATA)))])
    forged = release.to_bytes(dataclasses.replace(other, manifest=swd.manifest))
    with pytest.raises(Refused, match="in the place of"):
        release.from_bytes(forged)


def lying(line):
    """A release that says something else of its payload than is so; it is signed by nobody yet."""
    swd = build()
    good = swd.manifest.decode().split("Payload-1: ")[1].splitlines()[0]
    pid = swd.payloads[0].pid.hex()
    manifest = swd.manifest.decode().replace(good, line.format(pid=pid))
    return dataclasses.replace(swd, manifest=manifest.encode())


@pytest.mark.parametrize("line", ["ipk 25601 400 {pid} any", "ipk 25600 401 {pid} any"])
def test_sizes_that_the_manifest_does_not_say_are_neither_signed_nor_read(line):
    swd = lying(line)
    with pytest.raises(Refused, match="payload 1: 25600 bytes, .* the manifest says"):
        release.sign(swd, keys.generate())
    with pytest.raises(Refused, match="payload 1: 25600 bytes, .* the manifest says|has .* bytes"):
        release.from_bytes(release.to_bytes(swd))


def test_payload_that_does_not_inflate_is_not_signed():
    """Its digests hold: whoever built it has built it wrong."""
    index, pieces = made_wrong()
    packed = pack.split(index, b"".join(pieces))
    manifest = build().manifest.decode().split("Payload-1")[0]
    line = f"Payload-1: ipk {packed.size} {packed.stored} {packed.pid.hex()} any\n"
    swd = release.Swd((manifest + line).encode(), b"", (packed,))
    release.from_bytes(release.to_bytes(swd))
    with pytest.raises(Refused, match="payload 1: chunk 0 does not inflate to 999 bytes"):
        release.sign(swd, keys.generate())


def made_wrong():
    chunk = b"\xff" * 99
    page = hashlib.sha256(chunk).digest()[:16] + struct.pack("!HHB", 99, 999, 1)
    entry = hashlib.sha256(page).digest()[:16] + struct.pack("!HHB", 21, 21, 0)
    return bytes(32) + entry, [page, chunk]


def test_verify_as_json_says_why_not(tmp_path, signers):
    ca.create(tmp_path / "ca", "x", [k.public for k in signers], 2)
    release.save(signed(signers[:2]), tmp_path / "r.swd")

    done = swdist(*"release verify r.swd --ca ca --json".split(), cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and found["verified"] is False and "network" in found["why"]


def test_id_is_the_digest_of_the_manifest():
    swd = build()
    assert swd.rid == hashlib.sha256(swd.manifest).digest() == swd.parsed.rid


# --- swdist itself as a payload


def package(path, names):
    """An .ipk with those modules in it."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(f"./usr/lib/micropython/swdist/{name}")
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
        archive.addfile(tarfile.TarInfo("./etc/config/swdist"))
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("./data.tar.gz")
        info.size = len(inner.getvalue())
        archive.addfile(info, io.BytesIO(inner.getvalue()))
    return path


def test_swdist_of_a_package_goes_into_the_slot_beside_the_tree(tmp_path):
    (tmp_path / "tree/hooks").mkdir(parents=True)
    (tmp_path / "tree/hooks/activate").write_text("true\n")
    swdist_ipk = package(tmp_path / "swdist.ipk", ["__init__.mpy", "netd.mpy"])
    sntp = package(tmp_path / "sntp.ipk", ["sntp.mpy", "shell/x.mpy"])
    data = payload.with_swdist(tmp_path / "tree", [swdist_ipk, sntp])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        held = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}
    assert held == {
        "hooks/activate": b"true\n",
        "lib/swdist/__init__.mpy": b"__init__.mpy",
        "lib/swdist/netd.mpy": b"netd.mpy",
        "lib/swdist/shell/x.mpy": b"shell/x.mpy",
        "lib/swdist/sntp.mpy": b"sntp.mpy",
    }
    assert data == payload.with_swdist(tmp_path / "tree", [swdist_ipk, sntp])
    alone = payload.with_swdist(None, [swdist_ipk])
    assert b"lib/swdist/netd.mpy" in alone and b"hooks" not in alone


def test_what_is_no_package_of_swdist_is_refused(tmp_path):
    (tmp_path / "no.ipk").write_bytes(b"hello")
    for file in (tmp_path / "no.ipk", package(tmp_path / "sntp.ipk", ["sntp.mpy"])):
        with pytest.raises(Refused):
            payload.with_swdist(None, [file])
    (tmp_path / "tree/lib/swdist").mkdir(parents=True)
    (tmp_path / "tree/file").write_text("x")
    good = package(tmp_path / "good.ipk", ["__init__.mpy"])
    with pytest.raises(Refused, match="is there already"):
        payload.with_swdist(tmp_path / "tree", [good])


@pytest.mark.parametrize(
    "name", ["../../../out.py", "a/../../out.py", "/tmp/out.py", "a b.py", "x"]
)
def test_package_of_swdist_writes_nowhere_else(tmp_path, name):
    bad = package(tmp_path / "bad.ipk", ["__init__.mpy", name])
    with pytest.raises(Refused, match="is no name of a module"):
        payload.with_swdist(None, [bad])


def test_package_that_unpacks_to_gigabytes_is_refused_in_little_room(tmp_path):
    most = 1 << 27
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = tarfile.TarInfo("./control")
    head.size = 1 << 32
    data = squeezer.compress(head.tobuf(tarfile.USTAR_FORMAT))
    data += b"".join(squeezer.compress(bytes(1 << 24)) for _ in range(9)) + squeezer.flush()
    with tarfile.open(tmp_path / "one.ipk", "w:gz") as archive:
        for name in ("./control.tar.gz", "./data.tar.gz"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="one.ipk: is no .ipk .it unpacks to more than can be"):
            kinds.from_packages("ipk", [tmp_path / "one.ipk"])
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
        with pytest.raises(Refused, match="one.ipk: is no .ipk .it unpacks to more than can be"):
            payload.with_swdist(None, [tmp_path / "one.ipk"])
        assert tracemalloc.get_traced_memory()[1] < 3 * most
    finally:
        tracemalloc.stop()


# --- times


@pytest.mark.parametrize(
    "text,seconds",
    [("+90s", 90), ("+2h", 7200), ("-10m", -600), ("+1d12h", 129600), ("+1w", 604800), ("now", 0)],
)
def test_relative_times(text, seconds):
    assert times.parse(text, NOW) == NOW + seconds


def test_absolute_times_are_utc():
    assert times.parse("2030-01-31T03:00:00Z", NOW) == 1896058800
    assert times.parse(time_text(NOW), 0) == NOW


@pytest.mark.parametrize(
    "text",
    ["", "+", "2h", "+2", "+2H", "+-2h", "+1.5h", "tomorrow", "2030-01-31", "2030-02-30T00:00:00Z",
     "2030-01-31T03:00:00", "2030-01-31T03:00:00+01:00", "+999999999w", "-999999999d",
     "2030-02-30 03:00", "2030-01-31 24:00", "2030-01-31 03:00 Europe/Nowhere", "tonight",
     "2030-01-31 03:00 ../../etc/passwd", "2030-01-31 03:00 /etc/passwd", "tonight 03:00 ",
     "9999-12-31 23:59 America/New_York", "0001-01-01 00:00 Europe/Berlin", "tonight 3:00"],
)  # fmt: skip
def test_other_texts_are_no_times(text):
    with pytest.raises(BadValue):
        times.parse(text, NOW)


@pytest.mark.parametrize(
    "text, utc",
    [
        ("2030-01-31 03:00 Europe/Berlin", "2030-01-31T02:00:00Z"),
        ("2030-07-31 03:00:30 Europe/Berlin", "2030-07-31T01:00:30Z"),
        ("2030-01-31 03:00 UTC", "2030-01-31T03:00:00Z"),
        ("2030-01-31 03:00", "2030-01-31T08:00:00Z"),  # of this host, which is in New York
        ("tonight 23:00", "2033-05-19T03:00:00Z"),  # it is 23:33 there, on the 17th
        ("tonight 23:45", "2033-05-18T03:45:00Z"),
        ("tomorrow 23:45", "2033-05-19T03:45:00Z"),
        ("tonight 06:00 Europe/Berlin", "2033-05-18T04:00:00Z"),  # 05:33 there
        ("tonight 03:00 Europe/Berlin", "2033-05-19T01:00:00Z"),
        ("tomorrow 03:00 Europe/Berlin", "2033-05-19T01:00:00Z"),
    ],
)
def test_times_of_a_place(text, utc, in_new_york):
    assert time_text(times.parse(text, 2_000_000_000)) == utc


@pytest.fixture
def in_new_york(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text, why",
    [("2030-03-31 02:30 Europe/Berlin", "is skipped"), ("2030-10-27 02:30 Europe/Berlin", "twice")],
)
def test_times_that_clocks_do_not_show_once_are_refused(text, why):
    with pytest.raises(BadValue, match=f"{why} when clocks are changed there; give it in UTC"):
        times.parse(text, NOW)


def test_a_start_is_shown_in_both_zones(tmp_path, signers, trust, in_new_york):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_text("a")
    words = "release build -o r.swd --ca ca --version 1.1.0 --payload tree --start".split()
    done = swdist(*words, "2030-01-31 03:00 Europe/Berlin", cwd=tmp_path)
    assert "from 2030-01-31T02:00:00Z (2030-01-31 03:00:00 CET, Europe/Berlin)\n" in done.stdout
    done = swdist("release", "show", "r.swd", cwd=tmp_path)
    assert "from 2030-01-31T02:00:00Z (2030-01-30 21:00:00 EST)\n" in done.stdout
    assert times.both(times.LATEST_S, None).startswith("9999-12-31T23:59:59Z")
