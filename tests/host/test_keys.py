"""Keys and CA directories: signify's formats both ways, and nothing half-made."""

import base64
import hashlib
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from swdist_host import ca, files, keys, release
from swdist_host.errors import BadValue, Refused

CLI = [sys.executable, "-c", "from swdist_host.cli import main; main()"]


def swdist(*words, cwd, stdin=""):
    return subprocess.run(
        [*CLI, *map(str, words)], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def signify():
    program = shutil.which("signify-openbsd")
    assert program, "signify-openbsd is missing: make setup installs it"

    def run(*words, cwd, stdin=""):
        return subprocess.run(
            [program, *words], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60
        )

    return run


def test_key_with_passphrase_made_here_signs_in_signify(tmp_path, signify):
    done = swdist("keygen", "alice", cwd=tmp_path, stdin="open sesame\n")
    assert done.returncode == 0, done.stderr
    (tmp_path / "m").write_text("message")
    sign = ["-S", "-s", "alice.sec", "-m", "m", "-x", "m.sig"]
    assert signify(*sign, cwd=tmp_path, stdin="wrong\n").returncode != 0
    done = signify(*sign, cwd=tmp_path, stdin="open sesame\n")
    assert done.returncode == 0, done.stderr
    done = signify("-V", "-p", "alice.pub", "-m", "m", "-x", "m.sig", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_key_with_passphrase_made_by_signify_signs_here(tmp_path, signify):
    done = signify("-G", "-p", "bob.pub", "-s", "bob.sec", cwd=tmp_path, stdin="pässword\n")
    assert done.returncode == 0, done.stderr
    key = keys.load_secret(tmp_path / "bob.sec", lambda: "pässword")
    assert key.public.key == keys.load_public(tmp_path / "bob.pub").key
    assert key.key_id == keys.load_public(tmp_path / "bob.pub").key_id
    for wrong in ("passwor", "pässword ", ""):
        with pytest.raises(Refused):
            keys.load_secret(tmp_path / "bob.sec", lambda wrong=wrong: wrong)


def test_signature_is_the_same_as_signify_s(tmp_path, signify):
    key = keys.generate()
    keys.save(key, tmp_path / "a", None)
    (tmp_path / "m").write_bytes(b"message")
    signify("-S", "-s", "a.sec", "-m", "m", "-x", "m.sig", cwd=tmp_path)
    line = (tmp_path / "m.sig").read_text().splitlines()[1]

    assert base64.b64decode(line) == b"Ed" + key.key_id + key.sign(b"message")


def test_secret_key_is_never_readable_by_others_not_even_at_first(tmp_path, monkeypatch):
    modes = []
    real = os.fdopen

    def spy(fd, *more):
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        return real(fd, *more)

    monkeypatch.setattr(files.os, "fdopen", spy)
    before = os.umask(0)
    try:
        secret, public = keys.save(keys.generate(), tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert modes[0] == 0o600
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644


def test_empty_passphrase_is_refused_and_nothing_written(tmp_path):
    for stdin in ("", "\n"):
        done = swdist("keygen", "a", cwd=tmp_path, stdin=stdin)
        assert done.returncode == 1 and "passphrase" in done.stderr
        assert done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())


def test_keygen_overwrites_neither_half_and_leaves_no_half(tmp_path):
    (tmp_path / "a.pub").write_text("mine")
    done = swdist("keygen", "a", "--no-passphrase", cwd=tmp_path)
    assert done.returncode == 1 and "a.pub" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.pub"]
    assert (tmp_path / "a.pub").read_text() == "mine"


def test_secret_half_is_not_left_alone_when_the_public_one_cannot_be_written(tmp_path, monkeypatch):
    real = files.write

    def full(path, *more, **most):
        if path.suffix == ".pub":
            raise Refused("disk full")
        real(path, *more, **most)

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(Refused, match="full"):
        keys.save(keys.generate(), tmp_path / "a", None)
    assert not list(tmp_path.iterdir())


def secret_file(**changes):
    """A secret key file made apart from swdist_host.keys, as OpenBSD's signify.c has it."""
    seed = bytes(range(32))
    public = keys.SecretKey(bytes(8), seed).public.key
    fields = {"rounds": 0, "both": seed + public, **changes}
    check = hashlib.sha512(fields["both"]).digest()[:8]
    raw = struct.pack(">2s2sI16s8s8s64s", b"Ed", b"BK", fields["rounds"], bytes(16), check,
                      bytes(8), fields["both"])  # fmt: skip
    return b"untrusted comment: x\n" + base64.b64encode(raw) + b"\n"


def test_key_whose_halves_do_not_belong_together_is_refused(tmp_path):
    (tmp_path / "a.sec").write_bytes(secret_file())
    assert keys.load_secret(tmp_path / "a.sec").seed == bytes(range(32))
    (tmp_path / "a.sec").write_bytes(secret_file().replace(b"\n", b"\r\n") + b"\n")
    assert keys.load_secret(tmp_path / "a.sec").seed == bytes(range(32))  # as signify takes it
    (tmp_path / "a.sec").write_bytes(secret_file(both=bytes(64)))
    with pytest.raises(Refused, match="halves"):
        keys.load_secret(tmp_path / "a.sec")


def test_key_that_would_take_hours_to_open_is_refused_at_once(tmp_path):
    for rounds in (keys.MAX_ROUNDS + 1, 10_000, 0xFFFFFFFF):
        (tmp_path / "a.sec").write_bytes(secret_file(rounds=rounds))
        with pytest.raises(Refused, match=f"{rounds} rounds of key derivation, of 1000 at most"):
            keys.load_secret(tmp_path / "a.sec", lambda: pytest.fail("asked for the passphrase"))


def test_keygen_into_a_missing_directory_is_one_line(tmp_path):
    done = swdist("keygen", "no/where/a", "--no-passphrase", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())


def test_keygen_says_the_key_id_as_json(tmp_path):
    done = swdist("keygen", "a", "--no-passphrase", "--json", cwd=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pub", "a.sec"], "no temporary file"
    assert json.loads(done.stdout)["key"] == keys.load_public(tmp_path / "a.pub").name


def test_damaged_secret_key_is_refused_whatever_bit_has_changed(tmp_path):

    secret, _ = keys.save(keys.generate(), tmp_path / "a", None)
    comment, line, _ = secret.read_bytes().split(b"\n")
    raw = base64.b64decode(line)
    for at in (0, 2, 7, 24, 31, 40, 60, 75, 103):
        changed = bytearray(raw)
        changed[at] ^= 1
        secret.write_bytes(comment + b"\n" + base64.b64encode(changed) + b"\n")
        if at == 7 or 24 <= at < 32 or at >= 40:  # the rest is tag, salt, key id
            with pytest.raises(Refused):
                keys.load_secret(secret, lambda: "x")
        elif at < 4:
            with pytest.raises(Refused, match="not a secret key"):
                keys.load_secret(secret, lambda: "x")
    for bad in (b"", b"\n\n", comment, comment + b"\n\xff\n", comment + b"\n" + line[:40] + b"\n"):
        secret.write_bytes(bad)
        with pytest.raises(Refused, match="not a secret key"):
            keys.load_secret(secret, lambda: "x")


def publics(n):
    return [keys.generate().public for _ in range(n)]


def test_network_id_is_that_of_the_protocol_and_independent_of_the_order_of_keys(tmp_path):

    found = publics(3)
    want = hashlib.sha256(b"swdist-network 1\nmesh\n" + b"".join(sorted(p.key for p in found)))
    assert ca.create(tmp_path / "a", "mesh", found, 2) == want.digest()[:8]
    assert ca.create(tmp_path / "b", "mesh", found[::-1], 2) == want.digest()[:8]
    assert ca.create(tmp_path / "c", "mesh2", found, 2) != want.digest()[:8]


def test_ca_directory_has_the_form_that_a_node_reads(tmp_path):
    found = publics(2)
    network = ca.create(tmp_path / "ca", "mesh", found, 2)
    names = sorted(p.name for p in (tmp_path / "ca").iterdir())
    assert names == sorted(["network", "threshold", *(p.name for p in found)])
    assert (tmp_path / "ca/network").read_text() == f"name: mesh\nid: {network.hex()}\n"
    trust = ca.load(tmp_path / "ca").trust
    assert (trust.network, trust.threshold, len(trust.keys)) == (network, 2, 2)


@pytest.mark.parametrize(
    "name,count,threshold",
    [("", 1, 1), ("a\nb", 1, 1), ("ä", 1, 1), ("x" * 65, 1, 1), ("x", 2, 3), ("x", 2, 0),
     ("x", 17, 1), ("x", 0, 1)],
)  # fmt: skip
def test_impossible_network_is_refused_and_leaves_nothing(tmp_path, name, count, threshold):
    with pytest.raises(BadValue):
        ca.create(tmp_path / "ca", name, publics(count), threshold)
    assert not list(tmp_path.iterdir())


def test_same_key_twice_is_refused(tmp_path):
    with pytest.raises(BadValue, match="twice"):
        ca.create(tmp_path / "ca", "x", publics(1) * 2, 1)
    seed = bytes(32)
    one, two = (keys.SecretKey(bytes([n]) * 8, seed).public for n in (1, 2))
    with pytest.raises(BadValue, match="twice"):
        ca.create(tmp_path / "ca", "x", [one, two], 1)
    one, two = (keys.SecretKey(bytes(8), bytes([n]) * 32).public for n in (1, 2))
    with pytest.raises(BadValue, match="twice"):
        ca.create(tmp_path / "ca", "x", [one, two], 1)


def test_existing_ca_directory_is_left_alone(tmp_path):
    (tmp_path / "ca").mkdir()
    with pytest.raises(Refused, match="exists"):
        ca.create(tmp_path / "ca", "x", publics(1), 1)
    assert not list((tmp_path / "ca").iterdir())


def test_secret_key_in_a_ca_directory_is_found_out(tmp_path):
    ca.create(tmp_path / "ca", "x", publics(1), 1)
    keys.save(keys.generate(), tmp_path / "ca/oops", None)
    with pytest.raises(Refused, match="oops.sec"):
        ca.load(tmp_path / "ca")


def test_ca_for_tests_in_this_tree_is_whole_and_its_key_fits():

    folder = Path(__file__).resolve().parents[2] / "keys"
    trust = ca.load(folder / "test").trust
    key = keys.load_secret(folder / "TEST-ONLY-published.sec")
    assert trust.keys == {key.key_id: key.public.key}
    assert ca.network_id("swdist-test", [key.public.key]) == trust.network
    for path in [*folder.glob("test/[0-9a-f]*"), folder / "TEST-ONLY-published.sec"]:
        assert "TEST" in path.read_text().splitlines()[0], "says so in the file itself"


def test_what_is_wrong_with_a_ca_is_never_mended_by_founding_another_network(tmp_path):
    ca.create(tmp_path / "ca", "x", [keys.generate().public], 1)
    broken = {
        "nothing": None,
        "empty": lambda at: shutil.rmtree(at) or at.mkdir(),
        "stray": lambda at: (at / "note").write_text("x"),
        "threshold": lambda at: (at / "threshold").write_text("3"),
        "change": lambda at: (at / "1.manifest").write_text("x"),
    }
    for name, harm in broken.items():
        if harm is not None:
            shutil.copytree(tmp_path / "ca", tmp_path / name)
            harm(tmp_path / name)
        with pytest.raises(Refused, match="give a good copy of the network's CA") as e:
            ca.load(tmp_path / name)
        assert "init" not in str(e.value) and "install" not in str(e.value), name


def test_a_key_in_the_comment_of_another_is_not_taken_for_it(tmp_path):
    good, evil = (keys.generate().public for _ in range(2))
    hidden = evil.text.split(b"\n")[1]
    (tmp_path / "a.pub").write_bytes(good.text.replace(b"\n", b"\r" + hidden + b"\n", 1))
    found = keys.load_public(tmp_path / "a.pub")
    assert found.key == good.key
    ca.create(tmp_path / "ca", "x", [good], 1)
    trust = ca.load(tmp_path / "ca").trust
    made = release.build_keys(trust, [found], 1, now_s=2_000_000_000)
    assert made.parsed.keys == {good.key_id: good.key}
