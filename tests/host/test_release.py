"""Releases: built reproducibly, signed by several, read strictly, refused where anything is off."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time

import pytest

from swdist import usign
from swdist_host import ca, keys, payload, release, sigfile, times
from swdist_host.errors import BadValue, Refused
from swdist_host.times import time_text

NETWORK = b"12345678"
NOW = 1_800_000_000
CLI = [sys.executable, "-c", "from swdist_host.cli import main; main()"]


def build(**changes):
    words = {"network": NETWORK, "version": "1.1.0", "start_s": NOW, "now_s": NOW}
    words.update({"data": bytes(range(256)) * 100, "kind": "ipk"})
    words.update(changes)
    return release.build(**words)


@pytest.fixture(scope="module")
def signers():
    return [keys.generate() for _ in range(3)]


@pytest.fixture
def trust(signers, tmp_path):
    ca.create(tmp_path / "ca", "x", [k.public for k in signers], 2)
    return ca.load(tmp_path / "ca").trust


def swdist(*words, cwd):
    return subprocess.run(
        [*CLI, *map(str, words)], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip


# --- building


def test_manifest_says_what_was_asked_for():
    m = build(
        version="1.2.3", revision=4, start_s=NOW + 10, end_s=NOW + 20, signed_at_s=NOW - 5,
        boards=("a", "b"), description="hello", chunk_size=4096,
    ).parsed  # fmt: skip
    assert (m.version, m.revision, m.network) == ((1, 2, 3), 4, NETWORK)
    assert (m.start_s, m.end_s, m.signed_at_s) == (NOW + 10, NOW + 20, NOW - 5)
    assert m.experimental and m.boards == ("a", "b") and m.description == "hello"
    assert (m.payload, m.payload_size, m.chunk_size, m.chunks) == ("ipk", 25600, 4096, 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "1.1"},
        {"version": "1.1.65536"},
        {"revision": 65536},
        {"boards": ("UPPER",)},
        {"boards": tuple("b%d" % n for n in range(17))},
        {"kind": "two words"},
        {"description": "two\nlines"},
        {"description": " padded "},
        {"description": ""},
        {"data": None},
        {"withdraw": True},
        {"data": b""},
        {"data": bytes(4096 * 2048 + 1), "chunk_size": 4096},
    ],
)
def test_release_that_no_node_would_take_is_not_built(changes):
    with pytest.raises(BadValue):
        build(**changes)


def test_release_from_the_future_is_neither_built_nor_signed(tmp_path):
    with pytest.raises(Refused, match="future"):
        build(signed_at_s=NOW + release.FUTURE_S + 1)
    build(signed_at_s=NOW + release.FUTURE_S)
    key = keys.generate()
    keys.save(key, tmp_path / "k", None)
    ahead = int(time.time()) + 7200
    release.save(build(now_s=ahead, start_s=ahead), tmp_path / "r.swd")
    before = (tmp_path / "r.swd").read_bytes()
    done = swdist("release", "sign", "r.swd", "--key", "k.sec", "--yes", cwd=tmp_path)
    assert done.returncode == 1 and "future" in done.stderr
    assert (tmp_path / "r.swd").read_bytes() == before


def test_manifest_never_has_a_length_that_old_usign_refuses():
    bare = len(build(description="x").manifest)
    lengths = [
        (n, len(build(description="x" * n).manifest)) for n in range(1, 200)
    ]  # every length modulo 128
    assert {(bare + n - 1) % 128 for n, _ in lengths} == set(range(128))
    assert not [n for n, length in lengths if length % 128 in (46, 47)]
    assert len([n for n, length in lengths if length != bare + n - 1]) in (2, 3, 4), "few padded"


def test_chunk_size_grows_with_the_payload():
    assert build(data=bytes(16384 * 2048)).parsed.chunk_size == 16384
    assert build(data=bytes(16384 * 2048 + 1)).parsed.chunk_size == 32768


@pytest.mark.parametrize("size,chunks", [(1, 1), (4095, 1), (4096, 1), (4097, 2), (8193, 3)])
def test_index_covers_the_last_byte(size, chunks):
    swd = build(data=b"x" * size, chunk_size=4096)
    assert len(swd.index) == 32 * chunks and swd.parsed.chunks == chunks
    last = swd.payload[4096 * (chunks - 1) :]
    assert swd.index[-32:] == hashlib.sha256(last).digest()
    release.check_payload(swd)


def test_withdrawal_has_no_payload():
    swd = build(data=None, withdraw=True)
    assert swd.parsed.withdrawn and not swd.index and not swd.payload
    with tarfile.open(fileobj=io.BytesIO(release.to_bytes(swd))) as archive:
        assert archive.getnames() == ["manifest"]


def test_end_that_is_not_after_the_start_is_said_with_both_times():
    for end_s in (NOW, NOW - 1):
        with pytest.raises(BadValue, match="is not after start 2027-01-15T08:00:00Z"):
            build(end_s=end_s)


# --- directories


def tree(folder):
    (folder / "b/c").mkdir(parents=True)
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
    one = release.payload_from_dir(tmp_path / "one")
    assert one == release.payload_from_dir(tmp_path / "two")
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == ["a", "a.run", "b", "b/c", "b/c/d"]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert [m.mode for m in members] == [0o644, 0o755, 0o755, 0o755, 0o644]


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
        release.payload_from_dir(tmp_path / "t")
    assert str(tmp_path / "t") in str(refused.value)


def test_empty_tree_is_refused(tmp_path):
    (tmp_path / "t").mkdir()
    with pytest.raises(Refused, match="empty"):
        release.payload_from_dir(tmp_path / "t")


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
    assert release.verify(signed(signers[:2], network=network), trust).complete
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
    swd = signed(signers[:2], network=trust.network)
    raw = release.to_bytes(swd)
    release.verify(release.from_bytes(raw), trust)
    for part in ("manifest", "signatures", "index", "payload"):
        data = getattr(swd, part)
        base = raw.index(data)
        for at in sorted({0, 1, len(data) // 3, len(data) // 2, len(data) - 1}):
            changed = bytearray(raw)
            changed[base + at] ^= 1
            if part == "signatures" and at == 0:
                continue  # its first line is covered below
            with pytest.raises(Refused):
                release.verify(release.from_bytes(bytes(changed)), trust)


def test_payload_that_was_exchanged_with_its_index_is_refused(signers, trust):
    swd = signed(signers, network=trust.network, chunk_size=16384)
    other = bytes(len(swd.payload))
    forged = dataclasses.replace(swd, payload=other, index=release.make_index(other, 16384))
    with pytest.raises(Refused, match="index: its digest"):
        release.verify(forged, trust)


def test_verify_as_json_says_why_not(tmp_path, signers):
    ca.create(tmp_path / "ca", "x", [k.public for k in signers], 2)
    release.save(signed(signers[:2]), tmp_path / "r.swd")

    done = swdist(*"release verify r.swd --ca ca --json".split(), cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and found["verified"] is False and "network" in found["why"]


# --- the file


def pack(*members, form=tarfile.USTAR_FORMAT, kind=tarfile.REGTYPE):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            info.linkname = "" if kind == tarfile.REGTYPE else "manifest"
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def parts(swd):
    return [(n, getattr(swd, n)) for n in release.MEMBERS if getattr(swd, n)]


def test_file_comes_back_as_it_was_saved(tmp_path, signers):
    for swd in (build(), signed(signers), signed(signers, data=None, withdraw=True)):
        release.save(swd, tmp_path / "r.swd", overwrite=True)
        assert release.load(tmp_path / "r.swd") == swd
    with pytest.raises(Refused, match="exists"):
        release.save(swd, tmp_path / "r.swd")


def test_plain_tar_of_ustar_form_is_read(tmp_path, signers):
    swd = signed(signers)
    for name, data in parts(swd):
        (tmp_path / name).write_bytes(data)
    words = ["tar", "cf", "r.swd", "--format=ustar", *(n for n, _ in parts(swd))]
    subprocess.run(words, cwd=tmp_path, check=True)
    assert release.load(tmp_path / "r.swd") == swd


def test_file_of_another_form_is_refused(tmp_path, signers):
    swd = signed(signers)
    good = parts(swd)
    m, s, i, p = good
    bad = {
        "nothing in it": pack(),
        "no manifest": pack(s, i, p),
        "no index": pack(m, s, p),
        "no payload": pack(m, s, i),
        "another order": pack(m, i, s, p),
        "a member twice": pack(m, m, s, i, p),
        "a member more": pack(*good, ("more", b"x")),
        "a member before": pack(("a", b"x"), *good),
        "a path": pack(("./manifest", m[1]), s, i, p),
        "an empty member": pack(m, ("signatures", b""), i, p),
        "pax": pack(("manifest", m[1]), form=tarfile.PAX_FORMAT) + b"x",
        "gnu": pack(*good, form=tarfile.GNU_FORMAT),
        "a link": pack(m, s, ("index", b""), kind=tarfile.SYMTYPE),
        "signatures that are none": pack(m, ("signatures", b"x\n"), i, p),
        "a manifest too long": pack(("manifest", m[1] + bytes(5000)), s, i, p),
        "a payload too long": pack(m, s, i, ("payload", p[1] + b"x")),
        "an index too short": pack(m, s, ("index", i[1][:-32]), p),
        "a manifest that is none": pack(("manifest", b"hello\n"), s, i, p),
        "something behind": release.to_bytes(swd) + b"x",
        "compressed": gzip.compress(release.to_bytes(swd)),
        "random": os.urandom(20480),
        "zeros": bytes(20480),
        "empty": b"",
    }
    for what, data in bad.items():
        (tmp_path / "r.swd").write_bytes(data)
        with pytest.raises(Refused) as refused:
            release.load(tmp_path / "r.swd")
        assert "\n" not in str(refused.value), what


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"Z"])
def test_member_that_is_no_regular_file_is_refused_also_with_a_size(kind):
    raw = bytearray(release.to_bytes(build()))
    raw[156:157] = kind
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    with pytest.raises(Refused):
        release.from_bytes(bytes(raw))


def test_extended_headers_are_refused(tmp_path):
    swd = build()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in parts(swd):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.pax_headers = {"comment": "hidden"}
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(Refused, match="plain ustar"):
        release.from_bytes(out.getvalue())


def test_truncated_file_is_refused_at_every_length(signers):
    swd = signed(signers, data=b"x" * 700)
    raw = release.to_bytes(swd)
    end = raw.rindex(b"x") + 1
    whole = -(-end // 512) * 512 + 1024
    for n in range(0, whole, 7):
        with pytest.raises(Refused):
            found = release.from_bytes(raw[:n])
            release.check_payload(found)
    assert release.from_bytes(raw[:whole]) == swd


def test_truncated_file_names_the_member_it_is_cut_in(tmp_path, signers):
    swd = signed(signers)
    raw = release.to_bytes(swd)
    for name, data in parts(swd):
        (tmp_path / "r.swd").write_bytes(raw[: raw.index(data) + len(data) // 2])
        done = swdist("release", "show", "r.swd", cwd=tmp_path)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert name in done.stderr, done.stderr


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
    sntp = package(tmp_path / "sntp.ipk", ["sntp.mpy"])
    data = payload.with_swdist(tmp_path / "tree", [swdist_ipk, sntp])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        held = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}
    assert held == {
        "hooks/activate": b"true\n",
        "lib/swdist/__init__.mpy": b"__init__.mpy",
        "lib/swdist/netd.mpy": b"netd.mpy",
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
     "2030-01-31T03:00:00", "2030-01-31T03:00:00+01:00", "+999999999w", "-999999999d"],
)  # fmt: skip
def test_other_texts_are_no_times(text):
    with pytest.raises(BadValue):
        times.parse(text, NOW)
