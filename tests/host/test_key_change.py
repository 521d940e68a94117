"""swdist network rekey and adopt: the keys of a network change, by the commands people type."""

import json

import pytest
from typed import good, refused

REKEY = "network rekey ca -o keys.swd --threshold 2 --key alice.pub --key dora.pub"


def signed(name, cwd, *keys):
    for key in keys:
        good(f"release sign {name} --key {key}.sec --ca ca --yes", cwd=cwd)


@pytest.fixture
def community(tmp_path):
    """Two of alice and bob must sign; a.swd and b.swd are signed by both. Dora is new."""
    for name in ("alice", "bob", "dora", "mallory"):
        good(f"keygen {name} --no-passphrase", cwd=tmp_path)
    good("network init ca --name m --key alice.pub --key bob.pub --threshold 2", cwd=tmp_path)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("x")
    for n, name in enumerate(("a", "b"), 1):
        words = f"release build -o {name}.swd --ca ca --version 1.{n}.0 --start +1h --payload tree"
        good(words, cwd=tmp_path)
        signed(f"{name}.swd", tmp_path, "alice", "bob")
    return tmp_path


def test_keys_change_and_what_was_kept_still_verifies(community):
    said = good(REKEY + " --keep a.swd", cwd=community)
    assert "0.0.1, a change of keys" in said and "to sign    2 of the keys" in said
    signed("keys.swd", community, "alice", "bob")
    assert "1 of the 2 needed" in refused("network adopt ca keys.swd", cwd=community)
    signed("keys.swd", community, "dora")
    good("release verify keys.swd --ca ca", cwd=community)
    assert "in force: signed by 2 of 2 keys" in good("network adopt ca keys.swd", cwd=community)
    assert "already" in refused("network adopt ca keys.swd", cwd=community)
    good("release verify a.swd --ca ca", cwd=community)
    assert "signatures:" in refused("release verify b.swd --ca ca", cwd=community)
    good("release build -o c.swd --ca ca --version 1.3.0 --start +1h --payload tree", cwd=community)
    assert "is not in ca" in refused(
        "release sign c.swd --key bob.sec --ca ca --yes", cwd=community
    )
    signed("c.swd", community, "alice", "dora")
    good("release verify c.swd --ca ca", cwd=community)


def test_second_change_follows_the_first(community):
    good(REKEY, cwd=community)
    signed("keys.swd", community, "alice", "bob", "dora")
    good("network adopt ca keys.swd", cwd=community)
    good("network rekey ca -o next.swd --threshold 1 --key dora.pub", cwd=community)
    signed("next.swd", community, "alice", "dora")
    found = json.loads(good("network adopt ca next.swd --json", cwd=community))
    assert found["version"] == "0.0.2" and found["threshold"] == 1 and found["keep"] == []
    names = {p.name for p in (community / "ca").iterdir()}
    assert names >= {"1.manifest", "1.signatures", "2.manifest", "2.signatures"}


def test_what_can_not_be_is_refused_and_writes_nothing(community):
    for words, why in (
        ("--key alice.pub --threshold 2", "threshold 2 with 1 key; give 1"),
        ("--key alice.pub --key alice.pub --threshold 1", "twice"),
        ("--key alice.sec --threshold 1", "alice.sec"),
        ("--key dora.pub --threshold 1 --keep nothing.swd", "nothing.swd"),
    ):
        assert why in refused(f"network rekey ca -o x.swd {words}", cwd=community), words
        assert not (community / "x.swd").exists()
    words = "release build -o x.swd --ca ca --version 1.1.0 --start +1h --payload tree/file"
    assert "network rekey" in refused(words + " --kind keys", cwd=community)
    assert "network rekey" in refused(words + " --kind keys --force", cwd=community)
    good(REKEY, cwd=community)
    assert "mallory" not in refused(
        "release sign keys.swd --key mallory.sec --ca ca --yes", cwd=community
    )
    assert "no change of keys" in refused("network adopt ca a.swd", cwd=community)
