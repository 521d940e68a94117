"""Times that make no sense are refused before they are signed, and before they reach a mesh."""

from dataclasses import replace

import pytest
from typed import refused, swdist

from swdist_host import ca, dates, keys, release, sigfile
from swdist_host.errors import Refused

NOW = 2_000_000_000
DAY = 86400
NETWORK = b"networkA"


def parsed(start_s=NOW + DAY, **words):
    return release.build(
        NETWORK, "1.1.0", start_s, (release.Source("slot", (), b"x" * 99),), now_s=NOW, **words
    ).parsed


def test_fair_times_are_not_complained_of():
    for m in (parsed(), parsed(NOW), parsed(end_s=NOW + 2 * DAY), parsed(NOW + 300 * DAY)):
        assert dates.when_signing(m, NOW + 3600) == []
        assert dates.of_mesh(m, NOW, [0, 1000, -90_000_000]) == []
        assert dates.of_mesh(m, NOW, []) == []


def test_a_clock_that_was_ahead_when_it_was_built_is_seen_by_a_right_one():
    (said,) = dates.complaints(parsed(), NOW - 182 * DAY)
    assert "182 d 0 h ahead of this host's clock" in said and "for good" in said
    with pytest.raises(Refused, match="or say --force"):
        dates.refuse("1.1.0.swd", [said])


def test_a_clock_that_was_years_behind_is_seen_when_signing():
    said = dates.when_signing(parsed(), NOW + 7 * 365 * DAY)
    assert len(said) == 2 and "6 y 364 d" in said[0] and "not all in one second" in said[1]


def test_a_host_whose_clock_is_wrong_now_is_told_by_the_mesh():
    ahead = dates.of_mesh(parsed(), NOW, [-3 * DAY * 1_000_000, -3 * DAY * 1_000_000, 0])
    assert "3 d 0 h ahead of the mesh (the median of 3 neighbours)" in ahead[0]
    assert "Signed-At is 3 d 0 h ahead of the mesh's clock" in ahead[1]
    (behind,) = dates.of_mesh(parsed(), NOW, [400_000_000])
    assert "6 min 40 s behind the mesh" in behind


def test_far_starts_and_past_ends():
    assert "Start is 5 y 174 d after" in dates.complaints(parsed(NOW + 2000 * DAY), NOW)[0]
    m = parsed(end_s=NOW + 2 * DAY)
    assert "no node will run it" in dates.complaints(m, NOW + 3 * DAY)[0]


def test_sign_and_verify_refuse_and_force_only_notes(tmp_path):
    key = keys.generate()
    swd = release.build(
        NETWORK, "1.1.0", NOW + DAY, (release.Source("slot", (), b"x" * 99),), now_s=NOW
    )
    release.save(swd, tmp_path / "r.swd")
    keys.save(key, tmp_path / "k", None)
    sign = ["release", "sign", tmp_path / "r.swd", "--key", tmp_path / "k.sec", "--yes"]
    done = swdist(*sign, cwd=tmp_path)  # today is years before
    assert done.returncode == 1 and "ahead of this host's clock" in done.stderr
    done = swdist(*sign, "--force", cwd=tmp_path)
    assert done.returncode == 0 and "ahead of this host's clock" in done.stderr


def test_a_signed_at_beyond_what_clocks_count_is_refused_whatever_is_forced(tmp_path):
    key = keys.generate()
    network = ca.create(tmp_path / "ca", "x", [key.public], 1)
    late = 4_102_444_800  # 2100-01-01
    payloads = (release.Source("slot", (), b"x" * 99),)
    swd = release.build(network, "1.1.0", late, payloads, now_s=late)
    release.save(swd, tmp_path / "r.swd")
    keys.save(key, tmp_path / "k", None)
    sign = ["release", "sign", "r.swd", "--yes", "--force"]
    (tmp_path / "m").write_bytes(swd.manifest)
    (tmp_path / "m.sig").write_bytes(sigfile.block(b"Ed", key.key_id, key.sign(swd.manifest)))
    for words in (("--key", "k.sec"), ("--signature", "m.sig")):
        done = swdist(*sign, *words, cwd=tmp_path)
        assert done.returncode == 1 and "no time for nodes, whose clocks end at 2100" in done.stderr
    swd = replace(swd, signatures=(tmp_path / "m.sig").read_bytes())
    release.save(swd, tmp_path / "r.swd", overwrite=True)
    verify = ["release", "verify", "r.swd", "--ca", "ca", "--force"]
    assert "no time for nodes, whose clocks end at 2100" in refused(*verify, cwd=tmp_path)
    last = release.build(network, "1.1.0", late, payloads, now_s=late - 1)
    assert release.verify(release.sign(last, key), ca.load(tmp_path / "ca").trust)
