"""The .apk files: their form, their scripts under ash, and what a real apk 3 makes of them where
there is one in PATH."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import zlib

import pytest
from packing import make
from test_ipk import parts
from test_mipsel import ipk_runtime

from swdist import VERSION

NAMES = (
    "luci-app-swdist", "swdist", "swdist-install", "swdist-keyring", "swdist-page", "swdist-sntp",
    "swdist-utils",
)  # fmt: skip
ipk, apk = ipk_runtime.ipk, ipk_runtime.ipk.apk
# OpenWrt's functions, telling what they are asked.
FUNCTIONS = """
for name in add_group_and_user default_postinst default_prerm; do
	eval "$name() { echo $name \\$pkgname \\$PKG_UPGRADE; }"
done
"""


@pytest.fixture(scope="session")
def apks(packages):
    found = {path.name.split(f"-{'1' if 'keyring' in path.name else VERSION}")[0]: path
             for path in packages["swdist"].parent.glob("*.apk")}  # fmt: skip
    assert sorted(found) == sorted(NAMES)
    return found


def gunzipped(path):
    """The tars in the two gzip members, and the second member as it lies there."""
    first, second = zlib.decompressobj(31), zlib.decompressobj(31)
    about = first.decompress(path.read_bytes())
    data = second.decompress(first.unused_data)
    assert first.eof and second.eof and not second.unused_data
    return about, data, first.unused_data


def opened(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: (m, archive.extractfile(m).read() if m.isfile() else None) for m in archive}


def info(about):
    lines = opened(about)[".PKGINFO"][1].decode().splitlines()
    return [tuple(line.split(" = ", 1)) for line in lines]


@pytest.mark.parametrize("name", NAMES)
def test_two_members_hold_each_other_and_their_files(apks, name):
    about, data, packed = gunzipped(apks[name])
    fields = dict(info(about))
    assert fields["datahash"] == hashlib.sha256(packed).hexdigest()
    assert fields["pkgname"] == name and fields["arch"] == "noarch"
    assert apks[name].name == f"{name}-{fields['pkgver']}.apk"
    assert next(iter(opened(about))) == ".PKGINFO"
    assert any(about[-512:]) and not any(data[-1024:])  # only the second is at its end
    for member, content in opened(data).values():
        assert (member.uid, member.gid) == (0, 0) and not member.name.startswith((".", "/"))
        if member.isfile():
            sha1 = member.pax_headers["APK-TOOLS.checksum.SHA1"]
            assert sha1 == hashlib.sha1(content).hexdigest(), member.name


@pytest.mark.parametrize("name", NAMES)
def test_files_are_those_of_the_ipk_and_what_openwrt_s_build_adds(apks, packages, name):
    found = opened(gunzipped(apks[name])[1])
    added = {n for n, (m, _) in found.items() if n.startswith("lib/apk/packages/")}
    files = {n: (m.mode, m.mtime, data) for n, (m, data) in found.items() if m.isfile()}
    with tarfile.open(fileobj=io.BytesIO(parts(packages[name])["./data.tar.gz"])) as archive:
        expected = {
            m.name[2:]: (m.mode, m.mtime, archive.extractfile(m).read())
            for m in archive
            if m.isfile()
        }
    assert {n: f for n, f in files.items() if n not in added} == expected
    listed = files[f"lib/apk/packages/{name}.list"][2].decode().split()
    rest = {f"lib/apk/packages/{name}.{end}" for end in ("list", "conffiles", "conffiles_static")}
    assert listed == sorted("/" + n for n in files if n not in rest)
    user = files.get(f"lib/apk/packages/{name}.rusers", (0, 0, b""))[2]
    assert user == (b"swdist=471:swdist=471\n" if name == "swdist" else b"")
    if name == "swdist":
        config = hashlib.sha256(files["etc/config/swdist"][2]).hexdigest()
        assert files["lib/apk/packages/swdist.conffiles"][2] == b"/etc/config/swdist\n"
        said = files["lib/apk/packages/swdist.conffiles_static"][2].decode()
        assert said == f"/etc/config/swdist {config}\n"


@pytest.mark.slow
def test_same_commit_gives_the_same_bytes(apks, ca, tmp_path):
    make(tmp_path, "--ca", ca[0])
    for path in apks.values():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def said(apks, tmp_path, name, script):
    """What a script says, on a system whose services say it too."""
    (tmp_path / "functions.sh").write_text(FUNCTIONS)
    (tmp_path / "service").write_text("#!/bin/sh\necho service $1\n")
    (tmp_path / "service").chmod(0o755)
    text = opened(gunzipped(apks[name])[0])[script][1].decode()
    text = text.replace("$IPKG_INSTROOT/lib/functions.sh", str(tmp_path / "functions.sh"))
    text = text.replace("/etc/init.d/swdist", str(tmp_path / "service"))
    text = text.replace("/sbin/procd", "/bin/sh")
    done = subprocess.run(
        ["busybox", "ash", "-s", "2", "1"], input=text, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line.rstrip() for line in done.stdout.splitlines()]


def test_scripts_ask_openwrt_and_restart_what_is_new(apks, tmp_path):
    def of(name, script):
        return said(apks, tmp_path, name, script)

    new = ["add_group_and_user swdist", "default_postinst swdist"]
    assert of("swdist", ".post-install") == new
    restarted = ["service running", "service restart"]
    assert of("swdist", ".post-upgrade") == [line + " 1" for line in new] + restarted
    assert of("swdist", ".pre-deinstall") == ["default_prerm swdist"]
    for name in ("swdist-sntp", "swdist-install", "swdist-keyring"):
        for script in (".post-install", ".post-upgrade"):
            assert of(name, script)[2:] == ["service enabled", "service restart"], (name, script)
    assert of("swdist-utils", ".post-upgrade")[1:] == ["default_postinst swdist-utils 1"]


def test_scripts_are_those_apk_knows(apks):
    for name, path in apks.items():
        scripts = set(opened(gunzipped(path)[0])) - {".PKGINFO"}
        more = {".post-deinstall"} if name == "swdist" else set()
        assert scripts == {".post-install", ".post-upgrade", ".pre-deinstall"} | more
        for script in scripts:
            text = opened(gunzipped(path)[0])[script][1].decode()
            done = subprocess.run(
                ["shellcheck", "-e", "SC1091,SC2034,SC2154", "-"],
                input=text, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout


def package(folder, version, **files):
    made = ipk.Package(
        name="swdist-a",
        architecture="all",
        description="A\n package",
        version=version,
        files={path.replace("_", "/"): (0o644, text.encode()) for path, text in files.items()},
    )
    path = folder / apk.filename(made)
    path.write_bytes(apk.apk(made, 1_800_000_000, sorted, ipk.squeeze))
    return path


@pytest.mark.skipif(not shutil.which("apk"), reason="needs apk 3")
def test_real_apk_installs_upgrades_downgrades_and_removes(apks, tmp_path):
    def apk_does(*words):
        command = ["apk", "--root", tmp_path, "--arch", "x86_64", "--no-network", "--no-scripts"]
        command += ["--allow-untrusted", "--force-non-repository", "--repositories-file=/dev/null"]
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    old = package(tmp_path, "1.9-r1", etc_a="1\n", usr_a="1\n", usr_gone="1\n")
    new = package(tmp_path, "1.10-r1", etc_a="2\n", usr_a="2\n", usr_b="2\n")
    apk_does("--initdb", "add", old)
    (tmp_path / "etc/a").write_text("edited\n")
    assert "Upgrading swdist-a (1.9-r1 -> 1.10-r1)" in apk_does("add", new)
    assert (tmp_path / "etc/a").read_text() == "edited\n"
    assert (tmp_path / "etc/a.apk-new").read_text() == "2\n"
    assert (tmp_path / "usr/b").exists() and not (tmp_path / "usr/gone").exists()
    assert "Downgrading" in apk_does("add", old)
    assert (tmp_path / "usr/a").read_text() == "1\n"
    micropython = apk_of_micropython(tmp_path)
    apk_does("add", micropython, *apks.values())
    found = opened(gunzipped(apks["swdist"])[1])
    files = {name: content for name, (m, content) in found.items() if m.isfile()}
    assert all((tmp_path / name).read_bytes() == content for name, content in files.items())
    apk_does("del", "swdist-a", *NAMES)
    assert not any((tmp_path / name).exists() for name in files)


def apk_of_micropython(folder):
    made = ipk.Package(name="micropython", architecture="all", description="A stand-in")
    path = folder / apk.filename(made)
    path.write_bytes(apk.apk(made, 0, sorted, ipk.squeeze))
    return path


@pytest.mark.skipif(not shutil.which("apk"), reason="needs apk 3")
def test_one_changed_byte_is_refused_by_apk(tmp_path):
    path = package(tmp_path, "1-r0", usr_a="a" * 2000)
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    words = ["--initdb", "--allow-untrusted", "--no-network", "--no-scripts", "add", path]
    done = subprocess.run(["apk", "--root", tmp_path / "root", *words], capture_output=True)
    assert done.returncode != 0
