"""Makes packages and keys for the tests, by the tools that anybody uses."""

import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

from lab import community

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL = ROOT / "tools/ipk.py"


def make(out, *arguments, **environment):
    subprocess.run(
        [sys.executable, TOOL, "--out", out, *arguments],
        check=True,
        capture_output=True,
        env={**os.environ, **environment},
    )
    return {path.name.split("_")[0]: path for path in Path(out).glob("*.ipk")}


def make_ca(folder):
    """A CA directory of one key, and the secret key."""
    community.make(folder, "packages")
    return folder / "ca", folder / "alice.sec"


def change_keys(folder, n):
    """The nth change of keys in the CA directory of make_ca; all stay alice's and one more."""
    swdist = [Path(sys.executable).with_name("swdist")]
    words = [f"--key=key{n}.pub", "--key=alice.pub", "--threshold=1"]
    for command in (
        ["keygen", f"key{n}", "--no-passphrase"],
        ["network", "rekey", "ca", "-o", f"keys{n}.swd", *words],
        ["release", "sign", f"keys{n}.swd", "--key", "alice.sec", "--ca", "ca", "--yes"],
        ["network", "adopt", "ca", f"keys{n}.swd"],
    ):
        subprocess.run([*swdist, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / f"keys{n}.swd"


def tar_gz(files, folders=False):
    """A gzip'd tar as bytes, of {name: (mode, bytes, or where a link leads to)}. folders: named,
    too, as OpenWrt's build does it; opkg makes none that are not."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        named = set()
        for name, (mode, data) in files.items():
            for folder in reversed(Path(name).parents if folders else ()):
                if folder not in named:
                    named.add(folder)
                    info = tarfile.TarInfo(f"./{folder}/")
                    info.mode, info.type = 0o755, tarfile.DIRTYPE
                    tar.addfile(info)
            info = tarfile.TarInfo("./" + name)
            info.mode = mode
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                tar.addfile(info)
                continue
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return gzip.compress(out.getvalue(), 1)


def simple(path, control, scripts=None, files=None, conffiles=()):
    """A package of texts, written to `path`. control: {field: value}. files: {name: text, or a Path
    that a link leads to}."""
    control = {"Architecture": "all", **control}
    about = {"control": "".join(f"{key}: {value}\n" for key, value in control.items())}
    about.update(scripts or {})
    if conffiles:
        about["conffiles"] = "".join(name + "\n" for name in conffiles)
    modes = {name: 0o755 if name in (scripts or {}) else 0o644 for name in about}
    parts = {
        "debian-binary": b"2.0\n",
        "data.tar.gz": tar_gz({n: _file(n, t) for n, t in (files or {}).items()}, folders=True),
        "control.tar.gz": tar_gz({n: (modes[n], t.encode()) for n, t in about.items()}),
    }
    path.write_bytes(tar_gz({name: (0o644, data) for name, data in parts.items()}))
    return path


def _file(name, text):
    if isinstance(text, Path):
        return 0o777, str(text)
    return 0o755 if "bin/" in name or "init.d/" in name else 0o644, text.encode()


def newer(package, folder, version="99.0.0-r1"):
    """The same package under a later version, for an upgrade."""
    with tarfile.open(package, "r:gz") as tar:
        parts = {m.name[2:]: tar.extractfile(m).read() for m in tar}
    with tarfile.open(fileobj=io.BytesIO(parts["control.tar.gz"]), mode="r:gz") as tar:
        about = {m.name[2:]: (m.mode, tar.extractfile(m).read()) for m in tar if m.isfile()}
    mode, text = about["control"]
    about["control"] = (mode, re.sub(rb"(?m)^Version: .*", b"Version: " + version.encode(), text))
    parts["control.tar.gz"] = tar_gz(about)
    path = Path(folder) / f"{package.name.split('_')[0]}_{version}_all.ipk"
    path.write_bytes(tar_gz({name: (0o644, data) for name, data in parts.items()}))
    return path
