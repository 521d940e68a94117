"""swdist release build: for several boards, for some nodes first, and beside an earlier release."""

import json

import pytest
from test_kinds import apk, package
from typed import good, refused, swdist

from swdist_host import compare, release, release_text, sources
from swdist_host.errors import BadValue, Refused
from swdist_host.release import Source

BUILD = "release build --ca ca --start +1h -o "
WDR, ARCHER = "tplink,wdr3600", "tplink,archer-c7-v5"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    good("keygen alice --no-passphrase", cwd=folder)
    good("keygen mallory --no-passphrase", cwd=folder)
    good("network init ca --name x --key alice.pub --threshold 1", cwd=folder)
    return folder


@pytest.fixture
def folder(network, tmp_path):
    for name in ("ca", "alice.sec", "mallory.sec"):
        (tmp_path / name).symlink_to(network / name)
    for name in ("tree", "other"):
        for n in range(40):
            path = tmp_path / name / f"d{n % 3}/file{n}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{n * k * k % 9973}\n" for k in range(500)))
    (tmp_path / "other/d1/file4").write_text("changed")
    (tmp_path / "other/d1/file7").unlink()
    (tmp_path / "other/d1/new").write_text("new")
    (tmp_path / "image").write_bytes(b"sysupgrade" * 999)
    return tmp_path


def shown(folder, name):
    return json.loads(good(f"release show {name} --json", cwd=folder))


def boards(folder, name):
    return [(line["kind"], line["boards"]) for line in shown(folder, name)["payloads"]]


def sign(folder, name, key="alice"):
    good(f"release sign {name} --key {key}.sec --yes", cwd=folder)


# --- for which boards


def test_several_payloads_are_each_for_their_boards(folder):
    words = f"--payload tree@{WDR}@{ARCHER} --payload other"
    said = good(f"{BUILD} r.swd --version 1.1.0 {words}", cwd=folder)
    assert boards(folder, "r.swd") == [("slot", [WDR, ARCHER]), ("slot", "any")]
    assert f"payload 1  slot, for {WDR} {ARCHER}: " in said and "slot, for any board: " in said


def test_what_is_for_any_board_comes_last_and_images_first(folder):
    words = f"--payload other --payload tree@{WDR} --image image@{ARCHER}"
    good(f"{BUILD} r.swd --version 1.1.0 {words}", cwd=folder)
    assert boards(folder, "r.swd") == [("image", [ARCHER]), ("slot", [WDR]), ("slot", "any")]


def test_board_names_that_of_the_only_payload(folder):
    good(f"{BUILD} r.swd --version 1.1.0 --payload tree --board a --board b,c", cwd=folder)
    assert boards(folder, "r.swd") == [("slot", ["a", "b,c"])]


def test_path_with_an_at_sign_is_a_path_if_it_is_there(folder):
    (folder / "tree").rename(folder / "tree@home")
    good(f"{BUILD} r.swd --version 1.1.0 --payload tree@home", cwd=folder)
    good(f"{BUILD} s.swd --version 1.1.0 --payload tree@home@b", cwd=folder)
    assert boards(folder, "r.swd") == [("slot", "any")]
    assert boards(folder, "s.swd") == [("slot", ["b"])]


def test_swdist_goes_into_each_slot(folder, monkeypatch):
    seen = []

    def with_swdist(directory, packages):
        seen.append((directory and directory.name, [p.name for p in packages]))
        return release.pack.ustar.BLOCK * b"x" + str(directory).encode()

    monkeypatch.setattr(sources.payload, "with_swdist", with_swdist)
    words = "--payload tree@a --payload other --swdist swdist.ipk --swdist sntp.ipk"
    good(f"{BUILD} r.swd --version 1.1.0 {words}", cwd=folder)
    good(f"{BUILD} s.swd --version 1.1.0 --swdist swdist.ipk", cwd=folder)
    both = ["swdist.ipk", "sntp.ipk"]
    assert seen == [("tree", both), ("other", both), (None, ["swdist.ipk"])]


@pytest.mark.parametrize(
    "words, why",
    [
        ("--payload tree --payload other", "two payloads are for any board, and nodes take the"),
        ("--payload tree@a --payload other@a", "two payloads are for a, and nodes take the first"),
        ("--payload tree@a@b --payload other@b --payload tree", "two payloads are for b, and"),
        ("--payload tree@a --payload other --board b", "--board goes with one payload"),
        ("--payload tree@a --board b", "--board goes with one payload"),
        ("--payload tree@a@a", "names a board twice"),
        ("--payload tree@", "names a board twice, or one without a name"),
        ("--payload tree@Upper", "Payload-1 is not"),
        ("--payload tree@any@b", "Payload-1 is not"),
        ("--image image", "an image is for a board; say which, like --image FILE@"),
        ("--image image@a --experimental --end +4h", "an image can't be experimental"),
        ("--payload tree/d1/file4 --swdist x.ipk", "--swdist goes into a slot; give a directory"),
        ("--kind ipk --payload tree --swdist x.ipk", "--swdist goes into a slot; leave out --kind"),
        ("--kind new --payload tree --force", "a directory makes a slot, not 'new'"),
        ("--kind slot --image image@a", "--kind says what --payload is, and there is none"),
        ("", "there is no --payload"),
        ("--withdraw --payload tree", "leave out --payload"),
        ("--withdraw --board a", "a withdrawal is for all, and has no payload; leave out --board"),
        ("--withdraw --image image@a", "leave out --image"),
        ("--withdraw --promote x.swd", "--withdraw and --promote are opposites"),
        ("--payload tree --group canary", "a stable release is for all nodes; --group and --share"),
        ("--payload tree --share 5", "a stable release is for all nodes"),
        ("--payload tree --experimental --end +4h --share 1001", "1001 is not in the range"),
        ("--payload tree --experimental --end +4h --share 0", "0 is not in the range"),
        ("--payload tree --experimental --end +4h --group Canary", "Groups is not a list of names"),
        ("--payload tree --window 1h", "only an image has a --window"),
        ("--promote x.swd --payload tree", "--promote takes all of the release that was tried"),
        ("--promote x.swd --experimental --end +4h", "leave out --experimental"),
        ("--promote x.swd --group a", "--group and --share need --experimental"),
        ("--promote x.swd --window 1h", "leave out --window"),
    ],
)
def test_what_makes_no_sense_is_said(folder, words, why):
    line = refused(f"{BUILD} r.swd --version 1.1.0 {words}", cwd=folder, status=2)
    assert why in line, line
    assert not (folder / "r.swd").exists()


def test_version_is_needed_but_where_it_is_known(folder):
    assert "there is no --version" in refused(f"{BUILD} r.swd --payload tree", cwd=folder, status=2)


@pytest.mark.parametrize(
    "name, script, why",
    [
        ("activate", "true\r\n", "hooks/activate: its lines end in CR LF"),
        ("lib.sh", "true\r\n", "hooks/lib.sh: its lines end in CR LF"),
        ("health", "if true; then\n", "hooks/health: sh does not understand it: "),
        ("health", "echo $((1 + 1))\n", None),
        ("notes", "if only\n", None),
    ],
)
def test_scripts_that_sh_stumbles_over_are_warned_of(folder, name, script, why):
    (folder / "tree/hooks").mkdir()
    (folder / "tree/hooks" / name).write_text(script, newline="")
    done = swdist(*f"{BUILD} r.swd --version 1.1.0 --payload tree".split(), cwd=folder)
    assert done.returncode == 0
    why = why and f"swdist: warning: payload 1: {why}"
    assert done.stderr.startswith(why) if why else not done.stderr


def test_a_start_in_the_past_is_warned_of(folder):
    words = f"{BUILD} r.swd --version 1.1.0 --payload tree".replace("+1h", "2001-01-01T00:00:00Z")
    done = swdist(*words.split(), cwd=folder)
    assert done.returncode == 0 and done.stderr.startswith("swdist: warning: Start was ")


def test_payload_that_is_not_there_is_said(folder):
    for words in ("--payload no@a", "--package no.ipk", "--image no@a"):
        line = refused(f"{BUILD} r.swd --version 1.1.0 {words}", cwd=folder, status=1)
        assert "swdist: no" in line and "No such file" in line


def test_packages_and_trees_may_be_for_different_boards(folder):
    one, two = package(folder, "olsrd"), apk(folder, "olsrd")
    words = f"--package {one.name}@a --package {two.name}@a --payload tree"
    good(f"{BUILD} r.swd --version 1.1.0 {words}", cwd=folder)
    assert boards(folder, "r.swd") == [("ipk", ["a"]), ("apk", ["a"]), ("slot", "any")]


# --- kinds


def test_unknown_kind_is_refused_with_the_known_ones_unless_it_is_meant(folder):
    words = f"{BUILD} r.swd --version 1.1.0 --kind imgae --payload image"
    line = refused(words, cwd=folder, status=2)
    assert "'imgae' is no kind that nodes install: slot, ipk, apk, image;" in line
    good(words + " --force", cwd=folder)
    assert boards(folder, "r.swd") == [("imgae", "any")]


# --- for which nodes


def test_audience_is_in_the_release_and_on_the_screen(folder):
    words = "--experimental --end +4h --payload tree --group canary --group indoor --share 25"
    said = good(f"{BUILD} r.swd --version 1.1.0 {words}", cwd=folder)
    who = "for        nodes of the groups canary, indoor, and 2.5 % of all nodes, drawn by lot"
    assert who in said
    assert who in good("release sign r.swd --key alice.sec --yes", cwd=folder)
    found = shown(folder, "r.swd")
    assert found["groups"] == ["canary", "indoor"] and found["share"] == 25
    good(f"{BUILD} s.swd --version 1.1.0 --payload tree", cwd=folder)
    assert "for        all nodes" in good("release show s.swd", cwd=folder)
    assert shown(folder, "s.swd")["groups"] == [] and shown(folder, "s.swd")["share"] is None


def test_screens_tell_of_all_payloads_and_of_what_crosses_the_air(folder):
    words = f"{BUILD} r.swd --version 1.1.0 --payload tree@a --payload other@b --payload tree"
    assert "the same bytes as payload 1" in good(words, cwd=folder)
    first, second, third = shown(folder, "r.swd")["payloads"]
    assert first["id"] == third["id"] != second["id"]
    for text in (
        good("release show r.swd", cwd=folder),
        good("release sign r.swd --key alice.sec --yes", cwd=folder),
    ):
        assert f"whole {first['whole']:,} bytes cross the air, 1 s for each hop" in text
        assert f"{first['pages']} pages, {first['chunks']} chunks" in text
        assert second["id"] in text
    found = json.loads(good("release verify r.swd --ca ca --json", cwd=folder))
    assert found["verified"] and [line["boards"] for line in found["payloads"]] == [
        ["a"], ["b"], "any"
    ]  # fmt: skip


# --- beside an earlier release


def test_against_tells_what_crosses_the_air_and_which_files_are_others(folder):
    good(f"{BUILD} 1.swd --version 1.1.0 --payload tree@a --payload tree", cwd=folder)
    words = "--payload other@b --payload tree --image image@c --against 1.swd"
    said = good(f"{BUILD} 2.swd --version 1.2.0 {words}", cwd=folder)
    first, rest = said.split("against 1.swd\n")
    assert "changed: d1/file4" in rest and "added: d1/new" in rest and "removed: d1/file7" in rest
    assert "payload 3  nothing crosses the air: the same payload" in rest
    found = json.loads(good(f"{BUILD} 3.swd --version 1.2.0 {words} --json", cwd=folder))
    (against,) = found["against"]
    image, slot, same = against["payloads"]
    assert image["sent"] == image["whole"] == found["payloads"][0]["whole"]
    assert image["files"] is None and image["before"] is not None
    assert slot["files"] == {"changed": ["d1/file4"], "added": ["d1/new"], "removed": ["d1/file7"]}
    assert 0 < slot["sent"] < slot["whole"] * 0.5
    assert same["sent"] == 0 and same["before"] == same["id"]


def test_against_a_release_without_something_for_that_board_all_crosses(folder):
    good(f"{BUILD} 1.swd --version 1.1.0 --payload tree@a", cwd=folder)
    good(f"{BUILD} w.swd --version 1.0.0 --withdraw", cwd=folder)
    words = "--payload tree@b --against 1.swd --against w.swd"
    said = good(f"{BUILD} 2.swd --version 1.2.0 {words}", cwd=folder)
    assert said.count("it has nothing for these boards") == 2


def test_what_is_sent_is_what_a_node_lacks(folder):
    old = release.build(bytes(8), "1.1.0", 0, [Source("slot", (), tar(folder / "tree"))], now_s=0)
    new = release.build(bytes(8), "1.2.0", 0, [Source("slot", (), tar(folder / "other"))], now_s=0)
    (found,) = compare.differences(new, old)
    (had,), (has,) = old.payloads, new.payloads
    lacks = [piece for piece in has.pieces if piece not in had.pieces]
    assert found.sent == len(has.index) + sum(map(len, lacks)) and found.whole == has.whole


def test_image_that_was_flashed_leaves_nothing_behind(folder):
    image = (folder / "image").read_bytes()
    old, new = (
        release.build(bytes(8), version, 0, [Source("image", ("a",), data)], now_s=0)
        for version, data in (("1.1.0", image), ("1.2.0", image + b"more"))
    )
    (found,) = compare.differences(new, old)
    assert found.sent == found.whole and found.files is None
    assert compare.differences(new, new)[0].sent == 0


def tar(path):
    return sources.payload.from_dir(path)


def test_long_lists_of_files_are_cut_for_people(folder):
    for n in range(99):
        (folder / f"other/more{n}").write_text("x")
    good(f"{BUILD} 1.swd --version 1.1.0 --payload tree", cwd=folder)
    said = good(f"{BUILD} 2.swd --version 1.2.0 --payload other --against 1.swd", cwd=folder)
    assert f"and {100 - release_text.NAMES} more" in said and "more98" not in said


LEFT_OUT = [
    ("--payload tree@a --payload other@b", "--payload tree@a", "b, which"),
    ("--payload tree@a@b", "--payload other@c", "a, b, which"),
    ("--payload tree@a --payload other", "--payload tree@a", "any other board, which"),
    ("--payload tree@a --payload other", "--payload tree@b", "a, any other board, which"),
]
SERVED = [
    ("--payload tree@a@b", "--payload tree@b --payload other@a"),
    ("--payload tree@a@b", "--payload other"),
    ("--payload tree", "--payload other"),
    ("--payload tree@a", "--withdraw"),
]


@pytest.mark.parametrize("before, now, who", LEFT_OUT)
def test_revision_that_takes_the_version_away_from_a_board_is_refused(folder, before, now, who):
    good(f"{BUILD} 1.swd --version 1.1.0 {before}", cwd=folder)
    words = f"{BUILD} 2.swd --version 1.1.0 --revision 1 {now} --against 1.swd"
    line = refused(words, cwd=folder, status=1)
    assert f"it would take the version away from {who} 1.swd serves" in line
    assert not (folder / "2.swd").exists()
    good(words.replace("--version 1.1.0", "--version 1.1.1").replace("2.swd", "3.swd"), cwd=folder)
    good(words + " --force", cwd=folder)


@pytest.mark.parametrize("before, now", SERVED)
def test_revision_that_serves_all_boards_or_withdraws_is_built(folder, before, now):
    good(f"{BUILD} 1.swd --version 1.1.0 {before}", cwd=folder)
    good(f"{BUILD} 2.swd --version 1.1.0 --revision 1 {now} --against 1.swd", cwd=folder)


def test_revision_that_is_not_higher_is_refused(folder):
    good(f"{BUILD} 1.swd --version 1.1.0 --revision 3 --payload tree", cwd=folder)
    words = f"{BUILD} 2.swd --version 1.1.0 --payload other --against 1.swd --revision"
    for revision in (2, 3):
        assert "give --revision 4" in refused(f"{words} {revision}", cwd=folder, status=2)
    good(f"{words} 4", cwd=folder)


def test_release_of_another_network_is_not_compared(folder, tmp_path):
    made = release.build(bytes(8), "1.1.0", 0, [Source("slot", (), tar(folder / "tree"))])
    release.save(made, folder / "1.swd")
    words = f"{BUILD} 2.swd --version 1.2.0 --payload tree --against 1.swd"
    assert "1.swd: is of network 0000000000000000" in refused(words, cwd=folder, status=2)


# --- promotion


@pytest.fixture
def tried(folder):
    words = "--experimental --end +4h --payload tree@a --payload other --share 10"
    good(f"{BUILD} tried.swd --version 1.1.0 {words}", cwd=folder)
    sign(folder, "tried.swd")
    return folder


def test_experiment_is_promoted_as_the_next_revision_with_the_same_payloads(tried):
    said = good(f"{BUILD} r.swd --promote tried.swd", cwd=tried)
    assert said.count("nothing crosses the air: the same payload") == 2
    before, found = shown(tried, "tried.swd"), shown(tried, "r.swd")
    assert found["payloads"] == before["payloads"]
    assert (found["version"], found["revision"], found["channel"]) == ("1.1.0", 1, "stable")
    assert found["share"] is None and found["end"] is None and found["signed_by"] == []
    sign(tried, "r.swd")
    good("release verify r.swd --ca ca", cwd=tried)
    good(f"{BUILD} s.swd --promote tried.swd --version 1.2.0 --description hello", cwd=tried)
    assert (shown(tried, "s.swd")["version"], shown(tried, "s.swd")["revision"]) == ("1.2.0", 0)


def test_promotion_that_replaces_nothing_is_refused(tried):
    words = f"{BUILD} r.swd --promote tried.swd --revision 0"
    assert "give --revision 1" in refused(words, cwd=tried, status=2)


def test_what_no_node_can_have_tried_is_not_promoted(tried):
    good(f"{BUILD} stable.swd --version 1.1.0 --payload tree", cwd=tried)
    line = refused(f"{BUILD} r.swd --promote stable.swd", cwd=tried, status=1)
    assert "stable.swd: no node has tried it: it has no signatures" in line
    sign(tried, "stable.swd", "mallory")
    assert "0 of the 1" in refused(f"{BUILD} r.swd --promote stable.swd", cwd=tried, status=1)
    good(f"{BUILD} good.swd --version 1.1.0 --payload tree", cwd=tried)
    sign(tried, "good.swd")
    line = refused(f"{BUILD} r.swd --promote good.swd", cwd=tried, status=2)
    assert "only an experimental release with payloads can be promoted" in line


# --- the parts


@pytest.mark.parametrize(
    "text, path, its_boards",
    [("a", "a", ()), ("a@b", "a", ("b",)), ("a@b,c@d", "a", ("b,c", "d")), ("@b", "", ("b",))],
)
def test_given_is_a_path_and_boards(text, path, its_boards):
    found = sources.given(text)
    assert (str(found.path), found.boards) == (path or ".", its_boards)


def test_given_without_a_name_is_refused():
    for text in ("a@", "a@@b", "a@b@b"):
        with pytest.raises(BadValue, match="names a board twice, or one without a name"):
            sources.given(text)


def test_no_archive_is_no_payload_of_packages(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"hello" * 999)
    with pytest.raises(Refused, match="no node would unpack it"):
        sources.collect([sources.Given(tmp_path / "x.tar", ())], (), (), (), "ipk", (), False)
