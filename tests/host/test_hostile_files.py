"""Whatever file a command is given, it ends with one line, soon, and writes nothing else."""

import gzip
import io
import tarfile

import pytest
from typed import good, swdist


def tar(kind, name="manifest", link="x"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as made:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        made.addfile(info)
    return out.getvalue()


FILES = {
    "empty": b"",
    "zeros": bytes(100_000),
    "noise": bytes(i * 167 & 0xFF for i in range(70_000)),
    "text": b"hello\n\x1b[2J\r\x07" * 50,
    "deep": b"[" * 200_000,
    "deep toml": b"a = " + b"[" * 50_000 + b"]" * 50_000,
    "digits": b'{"links": [' + b"9" * 100_000 + b"]}",
    "utf-16": "untrusted comment: x\nRW==\n".encode("utf-16"),
    "packed zeros": gzip.compress(bytes(1 << 24)),
    "link": tar(tarfile.SYMTYPE, link="/etc/passwd"),
    "hard link": tar(tarfile.LNKTYPE),
    "folder": tar(tarfile.DIRTYPE, "manifest/"),
    "device": tar(tarfile.CHRTYPE),
    "signature": b"untrusted comment: x\r\n" + b"RW" * 9000 + b"\r\n",
    "apk": b"ADBd" + bytes(1000),
    "image": b"HDR0\xff\xff\xff\xff" + bytes(1000),
}
BUILD = "release build -o n.swd --ca ca --version 1.1.0 --start +2h"
COMMANDS = (
    "release show X", "release verify X --ca ca", "release sign X --key alice.sec --yes",
    "release sign r.swd --key X --yes", "release sign r.swd --signature X --yes",
    "release plan X", "release plan r.swd --against X", "release plan r.swd --map X",
    "release verify r.swd --ca X", f"{BUILD} --payload tree --against X", f"{BUILD} --package X",
    f"{BUILD} --swdist X", f"{BUILD} --payload X", f"{BUILD} --image X@linksys,wrt54gs",
    f"{BUILD} --kind ipk --payload X", f"{BUILD} --kind apk --payload X", f"{BUILD} --promote X",
    "network init new --name x --threshold 1 --key X", "network adopt ca X",
    "network rekey ca -o n.swd --threshold 1 --key X",
    "network rekey ca -o n.swd --threshold 1 --key alice.pub --keep X",
    "seed X --interface lo", "sim --scenario X.toml", "sim --topology X.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    good("keygen alice --no-passphrase", cwd=folder)
    good("network init ca --name x --key alice.pub --threshold 1", cwd=folder)
    (folder / "tree").mkdir()
    (folder / "tree/a").write_text("a")
    good(f"{BUILD} --payload tree".replace("n.swd", "r.swd"), cwd=folder)
    return folder


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("what", [*FILES, "a folder", "nothing"])
def test_any_file_is_refused_in_one_line(folder, words, what):
    if (what, words[:14]) == ("empty", "sim --scenario"):
        pytest.skip("an empty scenario is one")
    if what == "folder" and words.endswith("--payload X") and "--kind" not in words:
        pytest.skip("an archive of one folder is a slot")
    given = [folder / name for name in ("X", "X.toml", "X.json", "X.ipk", "X.apk")]
    for path in given:
        if what == "a folder":
            path.mkdir()
        elif what != "nothing":
            path.write_bytes(FILES[what])
    if "--package" in words:
        words = words.replace("X", "X.ipk --package X.apk")
    before = sorted(folder.iterdir())
    try:
        done = swdist(*words.split(), cwd=folder)
        assert done.returncode in (1, 2), done
        last = done.stderr.splitlines()[-1]
        assert last.startswith("swdist: ") and len(done.stderr) < 2000 and last.isprintable(), last
        assert sorted(folder.iterdir()) == before
    finally:
        for path in given:
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
