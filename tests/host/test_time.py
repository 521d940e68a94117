"""`swdist time`: a word on time is made, signed, and taken for what it is."""

import json

from typed import good, swdist


def test_a_word_on_time_says_what_a_liar_can_win_and_is_signed(tmp_path):
    good("keygen", "alice", "--no-passphrase", cwd=tmp_path)
    good("network init ca --name x --key alice.pub --threshold 1", cwd=tmp_path)
    word = "time -o t.swd --ca ca --horizon 15m".split()
    assert "signed by key" in good(*word, "--key", "alice.sec", "--yes", cwd=tmp_path)
    good("release verify t.swd --ca ca", cwd=tmp_path)
    shown = good("release show t.swd", cwd=tmp_path)
    assert "15 min 00 s at most; A LIAR CAN WIN AS MUCH, ONCE" in shown
    planned = good("release plan t.swd --no-withdrawal", cwd=tmp_path)
    assert "then       for an hour nodes follow a neighbour that is later" in planned
    made = good(*word, "-o", "u.swd", cwd=tmp_path)
    assert "u.swd: release 65535.0.0" in made and "signed by  nobody yet" in made
    assert made.endswith("swdist release sign u.swd --key NAME.sec --ca ca\n")
    made = json.loads(good(*word, "-o", "v.swd", "--json", cwd=tmp_path))
    assert (made["file"], made["signed_by"]) == ("v.swd", [])
    facts = json.loads(good("release show t.swd --json", cwd=tmp_path))
    assert (facts["clock_horizon_s"], facts["withdrawn"]) == (900, True)
    assert facts["version"] == "65535.0.0" and facts["revision"] > 1000


def test_a_horizon_is_bounded_and_nothing_is_signed_unseen(tmp_path):
    good("keygen", "alice", "--no-passphrase", cwd=tmp_path)
    good("network init ca --name x --key alice.pub --threshold 1", cwd=tmp_path)
    for horizon, status in (("13h", 2), ("0s", 2), ("x", 2)):
        word = f"time -o no.swd --ca ca --horizon {horizon}".split()
        assert swdist(*word, cwd=tmp_path).returncode == status
        assert not (tmp_path / "no.swd").exists()
    done = swdist(*"time -o t.swd --ca ca --key alice.sec".split(), cwd=tmp_path)
    assert done.returncode == 1 and "nobody is there to ask" in done.stderr
