"""The packages' form: what ipkg, opkg and a community that builds them again rely on."""

import gzip
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from packing import ROOT, TOOL, make, make_ca

from swdist import VERSION

sys.path.insert(0, str(ROOT / "tools"))
import ipk_const

BUDGET_BYTES = 60 * 1024
# Folders of each OpenWrt that was, which the packages of swdist do not bring.
EVERYWHERE = {
    ".",
    "etc",
    "etc/init.d",
    "lib",
    "usr",
    "usr/bin",
    "usr/lib",
    "usr/share",
}


def parts(path):
    with tarfile.open(path, "r:gz") as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return tar.getmembers()


def read(data, name):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return tar.extractfile(name).read()


def text_of(data, name):
    return read(data, name).decode()


def test_two_builds_give_the_same_bytes(tmp_path, packages, ca):
    again = make(
        tmp_path, "--ca", ca[0], TZ="Pacific/Auckland", LC_ALL="C", PYTHONHASHSEED="7", HOME="/"
    )
    assert (
        sorted(again)
        == sorted(packages)
        == [
            "luci-app-swdist",
            "swdist",
            "swdist-install",
            "swdist-keyring",
            "swdist-page",
            "swdist-sntp",
            "swdist-utils",
        ]
    )
    for name in packages:
        assert again[name].read_bytes() == packages[name].read_bytes(), name


def test_date_of_the_source_is_the_date_of_each_file(tmp_path, packages):
    other = make(tmp_path, SOURCE_DATE_EPOCH="86400")["swdist"]
    assert other.read_bytes() != packages["swdist"].read_bytes()
    data = parts(other)
    assert {m.mtime for m in members(data["./data.tar.gz"])} == {86400}


def test_package_is_within_its_budget(packages):
    assert packages["swdist"].stat().st_size <= BUDGET_BYTES


@pytest.mark.parametrize("name, version", [("swdist", VERSION), ("swdist-keyring", "1.0")])
def test_form_is_that_of_openwrt(packages, name, version):
    path = packages[name]
    assert path.name == f"{name}_{version}-r1_all.ipk"
    assert path.read_bytes()[:10] == b"\x1f\x8b\x08\0\0\0\0\0\2\3"  # no name, no time
    outer = gzip.decompress(path.read_bytes())
    assert outer[257:265] == b"ustar  \0"  # GNU's
    found = parts(path)
    assert list(found) == ["./debian-binary", "./control.tar.gz", "./data.tar.gz"]
    assert found["./debian-binary"] == b"2.0\n"
    for part in ("./data.tar.gz", "./control.tar.gz"):
        inner = members(found[part])
        names = [m.name for m in inner]
        assert names[0] == "."
        seen = set()
        for member in inner[1:]:  # a directory comes before what is in it, unless all have it
            assert str(Path(member.name).parent) in seen | EVERYWHERE
            seen.add(str(Path(member.name)))
        assert all(n == "." or n.startswith("./") for n in names)
        assert {(m.uid, m.gid, m.uname, m.gname) for m in inner} == {(0, 0, "", "")}
        assert all(m.isdir() or m.isfile() for m in inner)
        assert all(m.mode in ((0o755,) if m.isdir() else (0o644, 0o755)) for m in inner)


def test_control_tells_what_opkg_wants_to_know(packages):
    about = parts(packages["swdist"])["./control.tar.gz"]
    fields = [line.partition(": ") for line in text_of(about, "./control").splitlines()]
    found = {key: value for key, _, value in fields if not key.startswith(" ")}
    order = (
        "Package Version Depends License Section Require-User "
        "Maintainer Architecture Installed-Size Description"
    )
    assert list(found) == order.split()
    assert found["Version"] == f"{VERSION}-r1"
    assert found["Depends"] == "micropython"
    assert found["Require-User"] == "swdist=471:swdist=471"
    data = members(parts(packages["swdist"])["./data.tar.gz"])
    assert int(found["Installed-Size"]) == sum(m.size for m in data)
    assert text_of(about, "./conffiles") == "/etc/config/swdist\n"


def test_scripts_of_each_package(packages):
    """Whose files are uci-defaults asks OpenWrt for them; whose are modules or keys restarts."""
    scripts = {name: parts(path)["./control.tar.gz"] for name, path in packages.items()}
    names = {name: [m.name for m in members(about)] for name, about in scripts.items()}
    without = {name for name in names if "./postinst" not in names[name]}
    assert without == {"swdist-page"}
    assert "default_postinst" in text_of(scripts["swdist-utils"], "./postinst")
    for name in ("swdist-install", "swdist-sntp", "swdist-keyring"):
        assert "/etc/init.d/swdist restart" in text_of(scripts[name], "./postinst")


def test_every_device_module_is_in_it_compiled(packages):
    data = members(parts(packages["swdist"])["./data.tar.gz"])
    names = {m.name for m in data}
    for package, stems in (
        ("swdist-install", ["install", "ownflash"]),
        ("swdist-sntp", ["sntp"]),
        (
            "swdist-utils",
            ["asked", "census", "inject", "metrics", "page", "rollcall", "texts", "tool", "words"],
        ),
    ):
        own = {f"./usr/lib/micropython/swdist/{stem}.mpy" for stem in stems}
        assert own <= {m.name for m in members(parts(packages[package])["./data.tar.gz"])}
        assert not own & names
    found = [name for name in names if name.endswith(".mpy")]
    assert sorted(Path(name).stem for name in found) == ["__init__", "core", "netd", "switchd"]
    assert not any(name.endswith(".py") for name in names)


def test_source_may_be_packed_instead(tmp_path):
    data = parts(make(tmp_path, "--modules", "py")["swdist"])["./data.tar.gz"]
    text = ipk_const.flat((ROOT / "src/swdist/netd.py").read_text())
    assert "from swdist.node import Node\n" in text
    assert text_of(data, "./usr/lib/micropython/swdist/netd.py") == text


def test_pages_are_packed_as_they_are(packages):
    """A line of CSS may begin with #, as comments of shells do."""
    for name, path in (
        ("swdist-page", "www/swdist/index.html"),
        ("luci-app-swdist", "www/luci-static/resources/view/swdist.js"),
    ):
        data = parts(packages[name])["./data.tar.gz"]
        assert text_of(data, f"./{path}") == (ROOT / "files" / path).read_text()


def test_comments_and_indentation_go_and_nothing_else(packages):
    data = parts(packages["swdist"])["./data.tar.gz"]
    for name in ("usr/bin/swdist", "etc/init.d/swdist"):
        packed = text_of(data, "./" + name)
        text = (ROOT / "files" / name).read_text()
        assert packed.splitlines()[0] == text.splitlines()[0]
        assert "\n#" not in packed
        lines = [x.lstrip("\t") for x in text.splitlines() if not x.lstrip().startswith("#")]
        assert packed.splitlines()[1:] == lines
    conffile = text_of(data, "./etc/config/swdist")
    assert conffile == (ROOT / "files/etc/config/swdist").read_text()


# --- the keyring


def refused(ca):
    done = subprocess.run(
        ["python3", TOOL, "--ca", ca, "--out", ca.parent / "out"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert not list((ca.parent / "out").glob("swdist-keyring*"))
    return done.stderr


def test_keyring_holds_the_public_keys_and_no_conffiles(packages, ca):
    found = parts(packages["swdist-keyring"])
    names = {m.name for m in members(found["./data.tar.gz"]) if m.isfile()}
    assert names == {f"./etc/swdist/ca/{path.name}" for path in ca[0].iterdir()}
    assert "./conffiles" not in [m.name for m in members(found["./control.tar.gz"])]


def test_published_test_key_never_gets_into_a_keyring(tmp_path):
    ca = tmp_path / "renamed"
    ca.mkdir()
    for path in (ROOT / "keys/test").iterdir():
        (ca / path.name).write_bytes(path.read_bytes())
    assert "a router must never trust it" in refused(ca)


def test_secret_key_never_gets_into_a_keyring(tmp_path):
    ca, secret = make_ca(tmp_path)
    (ca / "alice").write_bytes(secret.read_bytes())
    assert "alice is not a public key" in refused(ca)


@pytest.mark.parametrize("name", ["network~", "alice.pub.bak", "threshold.apk-new"])
def test_what_an_editor_has_left_never_gets_into_a_keyring(tmp_path, name):
    ca, _ = make_ca(tmp_path)
    (ca / ".git").mkdir()  # while this is nobody's mistake
    (ca / name).write_bytes((ca / "network").read_bytes())
    assert f"{name} is not a public key" in refused(ca)


def test_directory_without_keys_makes_no_keyring(tmp_path):
    ca = tmp_path / "ca"
    ca.mkdir()
    assert "no files 'network' and 'threshold'" in refused(ca)
