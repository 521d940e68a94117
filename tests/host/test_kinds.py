"""Releases of packages and of images, as an operator makes them."""

import base64
import contextlib
import gzip
import io
import json
import sys
import tarfile
import zlib
from pathlib import Path

import pytest
from typed import good, swdist

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "package"))
from packing import simple
from test_kind_image import BODY, GOOD, linksys, trx

from swdist_host import kinds, release
from swdist_host.errors import Refused
from swdist_host.pack import pack
from swdist_host.release import Source

BUILD = "release build -o r.swd --ca ca --version 2.0.0 --start +2h".split()
IMAGE = [*BUILD, "--image", "image", "--board", "linksys,wrt54gs"]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    good("keygen", "alice", "--no-passphrase", cwd=folder)
    good(*"network init ca --name x --key alice.pub --threshold 1".split(), cwd=folder)
    return folder / "ca"


@pytest.fixture
def folder(network, tmp_path):
    (tmp_path / "ca").symlink_to(network)
    return tmp_path


def package(folder, name, version="1.0", **fields):
    control = {"Package": name, "Version": version, "Architecture": "all", **fields}
    return simple(folder / f"{name}_{version}.ipk", control, None, {f"usr/bin/{name}": version})


def shown(folder):
    return json.loads(good("release", "show", "r.swd", "--json", cwd=folder))


def test_packages_make_a_release_and_are_shown(folder):
    one, two = package(folder, "olsrd", "0.9"), package(folder, "luci-app", "1:2+3")
    good(*BUILD, "--package", one, "--package", two, cwd=folder)
    made = shown(folder)
    (line,) = made["payloads"]
    assert line["kind"] == "ipk" and line["boards"] == "any"
    assert line["holds"] == ["luci-app 1:2+3 (all)", "olsrd 0.9 (all)"]
    said = good("release", "show", "r.swd", cwd=folder)
    assert "ipk, " in said and "olsrd 0.9 (all)" in said
    again = folder / "again"
    again.mkdir()
    (again / "ca").symlink_to(folder / "ca")
    words = [*BUILD, "--package", two, "--package", one, "--signed-at", made["signed_at"]]
    words[words.index("+2h")] = made["start"]
    good(*words, cwd=again)
    assert shown(again)["id"] == made["id"]  # in whatever order


def test_directory_of_packages_with_hooks_makes_a_release(folder):
    (folder / "tree/hooks").mkdir(parents=True)
    (folder / "tree/hooks/health").write_text("true\n")
    package(folder / "tree", "olsrd")
    good(*BUILD, "--kind", "ipk", "--payload", "tree", cwd=folder)
    assert shown(folder)["payloads"][0]["holds"] == ["olsrd 1.0 (all)"]


@pytest.mark.parametrize(
    "name, why",
    [
        ("swdist", "its own code travels in a slot: --swdist"),
        ("swdist-runtime", "swdist-runtime is what swdist itself runs on"),
        ("micropython", "micropython is what swdist itself runs on"),
        ("../x", "has no name and version"),
    ],
)
def test_package_that_no_node_installs_is_refused(folder, name, why):
    path = package(folder, "one", Package=name)
    done = swdist(*BUILD, "--package", path, cwd=folder)
    assert done.returncode == 1 and why.removeprefix("its own ") in done.stderr
    assert not (folder / "r.swd").exists()


def test_what_is_no_package_one_twice_and_none_are_refused(folder):
    one = package(folder, "olsrd", "1")
    (folder / "garbage.ipk").write_bytes(b"\x1f\x8b garbage")
    done = swdist(*BUILD, "--package", "garbage.ipk", cwd=folder)
    assert done.returncode == 1 and "garbage.ipk: is no .ipk" in done.stderr
    done = swdist(*BUILD, "--package", one, "--package", package(folder, "olsrd", "2"), cwd=folder)
    assert done.returncode == 2 and "give it once" in done.stderr
    (folder / "tree").mkdir()
    (folder / "tree/a").write_text("a")
    done = swdist(*BUILD, "--kind", "ipk", "--payload", "tree", cwd=folder)
    assert done.returncode == 1 and "tree: there is no .ipk file at its top" in done.stderr
    done = swdist(*BUILD, "--package", one, "--payload", "tree", cwd=folder)
    assert done.returncode == 2 and "two payloads are for any board" in done.stderr
    (folder / "olsrd.deb").write_bytes(b"x")
    done = swdist(*BUILD, "--package", "olsrd.deb", cwd=folder)
    assert done.returncode == 2 and "is neither .ipk nor .apk" in done.stderr


@pytest.mark.parametrize(
    "image, board, said",
    [
        (GOOD, "linksys,wrt54gs", "behind a Linksys header (W54S); its CRC holds"),
        (trx(BODY), "linksys,wrt54gs", "without a Linksys header; its CRC holds"),
        (linksys(trx(BODY), b"W54G"), "linksys,wrt54gl", "(W54G)"),
        (b"sysupgrade-x/" + bytes(900), "tplink,wdr3600", "own sysupgrade checks"),
    ],
)
def test_image_makes_a_release_and_it_is_said_what_it_is(folder, image, board, said):
    (folder / "image").write_bytes(image)
    words = [board if w == "linksys,wrt54gs" else w for w in IMAGE]
    assert said in good(*words, "--window", "90m", cwd=folder)
    made = shown(folder)
    (line,) = made["payloads"]
    assert line["kind"] == "image" and line["boards"] == [board] and line["stored"] == line["size"]
    assert made["window_s"] == 5400 and not made["critical"]
    assert said in line["holds"][0]


def test_image_given_as_a_payload_of_that_kind_is_the_same(folder):
    (folder / "image").write_bytes(GOOD)
    good(*BUILD, "--kind", "image", "--payload", "image@linksys,wrt54gs", cwd=folder)
    (line,) = shown(folder)["payloads"]
    assert line["kind"] == "image" and line["boards"] == ["linksys,wrt54gs"]


def test_window_is_an_hour_where_none_is_said(folder):
    (folder / "image").write_bytes(GOOD)
    good(*IMAGE, cwd=folder)
    assert shown(folder)["window_s"] == 3600


@pytest.mark.parametrize(
    "image, board, why",
    [
        (GOOD[:-1], "linksys,wrt54gs", "its TRX should have"),
        (GOOD[:40], "linksys,wrt54gs", "its TRX should have"),
        (GOOD[:-9] + b"x" + GOOD[-8:], "linksys,wrt54gs", "the CRC of its TRX is wrong"),
        (linksys(b"nothing" * 99), "linksys,wrt54gs", "no TRX behind it"),
        (GOOD, "linksys,wrt54gl", "it begins with b'W54S', not b'W54G'"),
        (linksys(trx(BODY), b"W54G"), "linksys,wrt54gs", "it begins with b'W54G', not b'W54S'"),
        (b"sysupgrade-x/" + bytes(900), "linksys,wrt54gs", "neither Linksys header nor TRX"),
        (GOOD, "linksys,wrt54g3g", "is not known"),
    ],
)
def test_image_that_no_node_would_flash_is_refused(folder, image, board, why):
    (folder / "image").write_bytes(image)
    words = [board if w == "linksys,wrt54gs" else w for w in IMAGE]
    done = swdist(*words, cwd=folder)
    assert done.returncode == 1 and "image: " in done.stderr
    assert why in done.stderr and not (folder / "r.swd").exists()


@pytest.mark.parametrize(
    "words, why",
    [
        ([*IMAGE, "--experimental", "--end", "+4h"], "an image can't be experimental"),
        (IMAGE[:-2], "an image is for a board"),
        ([*IMAGE, "--window", "8d"], "Window is not a number 0..604800"),
        ([*IMAGE, "--window", "soon"], "'+soon' is not a time"),
        ([*BUILD, "--payload", "image", "--window", "1h"], "only an image has a --window"),
    ],
)
def test_what_makes_no_sense_with_an_image_is_said(folder, words, why):
    (folder / "image").write_bytes(GOOD)
    done = swdist(*words, cwd=folder)
    assert done.returncode == 2 and why in done.stderr, done.stderr


@pytest.mark.parametrize("data", [b"x" * 10000, GOOD, bytes(1024), b"\xff" * 512 + bytes(1024)])
def test_garbage_that_calls_itself_packages_is_shown_as_such(folder, data):
    save(folder, Source("ipk", (), data))
    assert "NO NODE WILL TAKE IT: " in good("release", "show", "r.swd", cwd=folder)


def test_image_that_broke_on_its_way_is_shown_as_such(folder):
    """Made by another tool; nodes refuse it, and whoever signs sees it."""
    save(folder, Source("image", ("linksys,wrt54gs",), GOOD[:-1]))
    assert "NO NODE WILL TAKE IT: its TRX should have" in good(
        "release", "show", "r.swd", cwd=folder
    )


def test_image_that_another_tool_has_packed_is_shown_as_such(folder, monkeypatch):
    monkeypatch.setattr(release.pack, "pack", lambda data, deflate: pack(data))
    save(folder, Source("image", ("linksys,wrt54gs",), GOOD + bytes(9999)))
    said = good("release", "show", "r.swd", cwd=folder)
    assert "NO NODE WILL TAKE IT: it is packed, which an image must not be" in said


def save(folder, source):
    made = release.build(bytes(8), "2.0.0", 2000000000, [source], window_s=60)
    release.save(made, folder / "r.swd")


# --- packages of apk


def apk(folder, name, version="1.0-r1"):
    """Of form 2: .PKGINFO in a gzip with a tar that does not end, and the files in another one."""
    about = f"pkgname = {name}\npkgver = {version}\narch = noarch\n".encode()
    parts = []
    for inside, data in ((".PKGINFO", about), (f"usr/bin/{name}", b"true\n")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            info = tarfile.TarInfo(inside)
            info.size = len(data)
            info.pax_headers = {"APK-TOOLS.checksum.SHA1": "0" * 40}
            archive.addfile(info, io.BytesIO(data))
            end = archive.offset
        parts.append(gzip.compress(out.getvalue()[: end if inside == ".PKGINFO" else None]))
    path = folder / f"{name}-{version}.apk"
    path.write_bytes(b"".join(parts))
    return path


def test_packages_of_apk_and_of_opkg_make_one_release_for_both(folder):
    one, two = package(folder, "olsrd", "0.9"), apk(folder, "olsrd", "0.9-r2")
    good(*BUILD, "--package", one, "--package", two, cwd=folder)
    lines = shown(folder)["payloads"]
    assert [(line["kind"], line["boards"]) for line in lines] == [("ipk", "any"), ("apk", "any")]
    assert [line["holds"] for line in lines] == [["olsrd 0.9 (all)"], ["olsrd 0.9-r2 (noarch)"]]


# What `apk mkpkg` of apk-tools 3.0.5 makes of babeld 1.13-r1 for x86_64, with a file usr/y.
FORM_3 = base64.b64decode(
    "QURCZHN0cdIrSM5OF2FkAAMWRoYHbEmJSak5KeyGeobGukWGbBUWZvFmJixF+fklDCxANW8ZGQTkGBgaQJgZoo1BhYHh"
    "AWOlgnPokmzJyx539MMPuP14n3wluG/35ASGzyffTfVSd+O9kcqga8ObDTJjCZIZbEC+A5DOAJrBxMAgkMLAoOAEMru0"
    "uAjIZ6gAioP0TACKgeyZAsQifxrO9Dfsn2bU+Exl5u0njL9qXk55B1TDC8QcQHX8QLwGiEFuE4fS2ADIPpAfTIBmzgFi"
    "EPsIkP4BxCB5PqBekBtAwWPIxcAAAA=="
)
OPENED = b"ADB." + zlib.decompress(FORM_3[4:], -15)[4:]


def test_package_of_apk_of_form_3_says_what_it_is(folder):
    for packed in (FORM_3, OPENED, b"ADBc\1\x06" + FORM_3[4:]):
        (folder / "renamed.apk").write_bytes(packed)
        good(*BUILD, "--package", "renamed.apk", cwd=folder)
        assert shown(folder)["payloads"][0]["holds"] == ["babeld 1.13-r1 (x86_64)"]
        (folder / "r.swd").unlink()


def test_spoilt_package_of_form_3_is_refused_and_never_raises():
    whole = OPENED[:300]
    for n in range(len(whole)):
        turned = whole[:n] + bytes([whole[n] ^ 0xFF]) + whole[n + 1 :]
        for spoilt in (whole[:n], turned, whole + whole[:n]):
            with contextlib.suppress(Refused):
                assert len(kinds.packages("apk", tarred(spoilt))) == 1
    for spoilt in (b"ADBd" + bytes(99), b"ADBz" + FORM_3[4:], b"ADBc\2\x06" + FORM_3[4:]):
        with pytest.raises(Refused, match="is no .apk"):
            kinds.packages("apk", tarred(spoilt))


def tarred(data):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.apk")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_package_of_apk_that_no_node_installs_is_refused(folder):
    (folder / "swdist-1.0-r1.apk").write_bytes(OPENED.replace(b"\6babeld", b"\6swdist"))
    (folder / "garbage-1.apk").write_bytes(b"\x1f\x8b garbage")
    for name, why in (("swdist-1.0-r1", "is what swdist itself runs on"), ("garbage-1", "no .apk")):
        done = swdist(*BUILD, "--package", f"{name}.apk", cwd=folder)
        assert done.returncode == 1 and why in done.stderr, done.stderr


# --- packages for some boards


def test_package_for_a_board_comes_with_those_for_all(folder):
    common, special = package(folder, "olsrd"), package(folder, "switch")
    good(*BUILD, "--package", common, "--package", f"{special}@b@c,d", cwd=folder)
    some, rest = shown(folder)["payloads"]
    assert some["boards"] == ["b", "c,d"] and rest["boards"] == "any"
    assert some["holds"] == ["olsrd 1.0 (all)", "switch 1.0 (all)"]
    assert rest["holds"] == ["olsrd 1.0 (all)"]


def test_boards_with_the_same_packages_share_a_payload(folder):
    one, two, three = (package(folder, name) for name in ("one", "two", "three"))
    words = [f"{one}@a@b@c", f"{two}@a@b", f"{three}@c"]
    good(*BUILD, *(w for word in words for w in ("--package", word)), cwd=folder)
    lines = shown(folder)["payloads"]
    assert [line["boards"] for line in lines] == [["a", "b"], ["c"]]
    assert [len(line["holds"]) for line in lines] == [2, 2]
