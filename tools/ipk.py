"""Makes the packages, each as .ipk and as .apk; with --ca also the keyring. For `make ipk`.

The same commit gives the same bytes: one order, owners 0, one time for all (SOURCE_DATE_EPOCH,
else that of the last commit). The form of an .ipk is OpenWrt's, a gzip'd tar of debian-binary, data
and control; ipkg of 2005 and opkg read it alike (docs/packaging.md). apk.py makes the .apk.
"""

import argparse
import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import apk
import ipk_const

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from swdist import VERSION  # noqa: E402
from swdist.shell import platform  # noqa: E402
from swdist.trust.verify import load_ca  # noqa: E402

RELEASE = 1
OUT = ROOT / "build/ipk"
DEVICE = ROOT / "src/swdist"
FILES = ROOT / "files"
SCRIPTS = ROOT / "package/swdist/scripts"
MPY_CROSS = ROOT / "build/runtime/bin/mpy-cross"
MODULES = "usr/lib/micropython/swdist"
# Packages of what a router works without: {name: (description, modules, files, postinst or None)}.
OPTIONAL = {
    "swdist-install": (
        "Releases of swdist that are packages or whole images",
        ("install", "ownflash"),
        ("usr/lib/swdist/flash", "usr/lib/swdist/install", "usr/lib/swdist/install-apk"),
        "part-postinst",
    ),
    "swdist-sntp": (
        "NTP: the mesh's time for stock clients, stock servers' for the mesh",
        ("sntp",),
        (),
        "part-postinst",
    ),
    "swdist-utils": (
        "What people ask of swdist on a router: commands, ubus, Prometheus",
        ("asked", "census", "inject", "metrics", "page", "rollcall", "texts", "tool", "words"),
        (
            "usr/libexec/rpcd/swdist",
            "usr/share/rpcd/acl.d/swdist-utils.json",
            "etc/uci-defaults/50-swdist-utils",
        ),
        "utils-postinst",
    ),
    "swdist-page": (
        "The node, its neighbours and the mesh as a page of its own web server",
        (),
        ("www/swdist/index.html", "www/cgi-bin/swdist"),
        None,
    ),
    "luci-app-swdist": (
        "LuCI: how swdist stands, and its settings",
        (),
        (
            "www/luci-static/resources/view/swdist.js",
            "usr/share/luci/menu.d/luci-app-swdist.json",
            "usr/share/rpcd/acl.d/luci-app-swdist.json",
        ),
        "luci-postinst",
    ),
}
DEPENDS = {"swdist-page": "swdist-utils", "luci-app-swdist": "swdist-utils, luci-base"}
CONFFILES = ("etc/config/swdist",)
TEST_ONLY = ROOT / "keys/test"

DESCRIPTION = "A mesh of equal routers keeps itself on one signed software version"


@dataclass
class Package:
    name: str
    architecture: str
    description: str
    version: str = f"{VERSION}-r{RELEASE}"
    maintainer: str = "The swdist authors"
    depends: str = ""
    provides: str = ""
    conflicts: str = ""
    user: str = ""
    files: dict = field(default_factory=dict)  # path without a leading slash: (mode, bytes)
    scripts: dict = field(default_factory=dict)  # preinst, postinst, prerm, postrm: bytes
    conffiles: tuple = ()

    def filename(self):
        return f"{self.name}_{self.version}_{self.architecture}.ipk"


def source_epoch():
    """Seconds since 1970 that every file in a package is dated with."""
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return int(os.environ["SOURCE_DATE_EPOCH"])
    done = subprocess.run(
        ["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True
    )
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 0


def squeeze(data):
    """A gzip file, without name and time. zopfli finds 3 % more than gzip -9 does."""
    with tempfile.NamedTemporaryFile(prefix="swdist-ipk-") as file:
        file.write(data)
        file.flush()
        return subprocess.run(
            ["zopfli", "--i100", "-c", file.name], stdout=subprocess.PIPE, check=True
        ).stdout


# Folders of each OpenWrt that was (/etc/config is not): 12 bytes apiece.
THERE = {"etc", "etc/init.d", "lib", "usr", "usr/bin", "usr/lib", "usr/share"}


def in_order(entries):
    """Scripts, then modules, by name, the largest last: gzip looks back 32 KB only, and so what is
    alike is near."""
    return sorted(entries, key=lambda p: (p.endswith(".mpy"), p.endswith("/netd.mpy"), p))


def tar(entries, order, epoch):
    """A GNU tar of {path: (mode, bytes)}: the directories that not each OpenWrt has, then the
    files."""
    directories = {"/".join(p.split("/")[:n]) for p in entries for n in range(1, p.count("/") + 1)}
    directories -= THERE
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in ["", *sorted(directories), *order]:
            mode, data = entries.get(path, (0o755, None))
            info = tarfile.TarInfo("./" + path)  # opkg refuses names without ./
            info.mode = mode
            info.mtime = epoch
            if data is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_gz(entries, epoch):
    """Stored, for all of the package is squeezed once: 0.4 % less than squeezed twice."""
    return gzip.compress(tar(entries, in_order(entries), epoch), 0, mtime=0)


def control(package):
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Depends": package.depends,
        "Provides": package.provides,
        "Conflicts": package.conflicts,
        "License": "MIT",
        "Section": "net",
        "Require-User": package.user,
        "Maintainer": package.maintainer,
        "Architecture": package.architecture,
        "Installed-Size": str(sum(len(data) for _, data in package.files.values())),
        "Description": package.description,
    }
    return "".join(f"{key}: {value}\n" for key, value in fields.items() if value).encode()


def ipk(package, epoch):
    """The package's bytes."""
    about = {"control": (0o644, control(package))}
    about.update({name: (0o755, data) for name, data in package.scripts.items()})
    if package.conffiles:
        about["conffiles"] = (0o644, "".join(f"/{p}\n" for p in package.conffiles).encode())
    # In this order, which is deb(5)'s, scripts stand beside scripts.
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tar_gz(about, epoch),
        "data.tar.gz": tar_gz(package.files, epoch),
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in parts.items():
            info = tarfile.TarInfo("./" + name)
            info.size = len(data)
            info.mtime = epoch
            archive.addfile(info, io.BytesIO(data))
    return squeeze(out.getvalue())


def bare(data):
    """A shell script without comment lines and indentation: they stay here, where it is read."""
    first, *rest = data.splitlines(keepends=True)
    keep = [first] if first.startswith(b"#!") or not first.lstrip().startswith(b"#") else []
    keep += [line.lstrip(b"\t") for line in rest if not line.lstrip().startswith(b"#")]
    return b"".join(keep)


def script(name):
    return bare((SCRIPTS / name).read_bytes())


def tree(folder):
    """{path: (mode, bytes)} of a folder. Only the owner's x bit of a file counts, so that the
    umask of whoever has cloned the project changes nothing."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            found[str(path.relative_to(folder))] = (mode, path.read_bytes())
    return found


def files():
    """files/, its comments only where people edit a file on the router."""
    found = tree(FILES)
    whole = (*CONFFILES, ".html", ".js")
    return {p: (m, d if p.endswith(whole) else bare(d)) for p, (m, d) in found.items()}


def modules(kind):
    """The device code: `py` as it is, `mpy` compiled for any runtime of .mpy version 6."""
    if kind == "py":
        return {
            f"{MODULES}/{stem}.py": (0o644, text.encode())
            for stem, text in ipk_const.plain().items()
        }
    if not MPY_CROSS.exists():
        sys.exit(f"ipk: {MPY_CROSS} is missing: `make runtime` builds it")
    found = {}
    with tempfile.TemporaryDirectory(prefix="swdist-ipk-") as folder:
        source, out = Path(folder, "source.py"), Path(folder, "out.mpy")
        for stem, text in ipk_const.device().items():
            source.write_text(text)
            # Without asserts and line numbers (docs/decisions/0004-size.md).
            subprocess.run([MPY_CROSS, "-O3", "-s", stem, "-o", out, source], check=True)
            found[f"{MODULES}/{stem}.mpy"] = (0o644, out.read_bytes())
    return found


def swdist(compiled):
    needed = {**files(), **compiled}
    for package in optional(compiled):
        needed = {p: f for p, f in needed.items() if p not in package.files}
    return Package(
        name="swdist",
        architecture="all",
        description=DESCRIPTION,
        depends="micropython",
        user="swdist=471:swdist=471",
        files=needed,
        scripts={name: script(name) for name in ("postinst", "prerm", "postrm")},
        conffiles=CONFFILES,
    )


def optional(compiled):
    found = files()
    for name, (description, stems, paths, postinst) in OPTIONAL.items():
        own = {p: f for p, f in compiled.items() if Path(p).stem in stems}
        yield Package(
            name=name,
            architecture="all",
            description=description,
            depends=DEPENDS.get(name, "swdist"),
            files={**own, **{path: found[path] for path in paths}},
            scripts={"postinst": script(postinst)} if postinst else {},
        )


def keyring(ca):
    """The public keys of a community. They are no conffiles: after sysupgrade those of the new
    image count, not the old ones. The version is their own: it grows with each change of keys, or
    no package manager would take them."""
    try:
        trust = load_ca(platform.Fs(), str(ca))
        for text in trust.strays:
            if not text.startswith(f"CA: {ca}/."):  # a .git is nobody's mistake
                raise ValueError(text)
    except (ValueError, OSError) as error:
        sys.exit(f"ipk: {error}")
    if set(trust.keys) & set(load_ca(platform.Fs(), str(TEST_ONLY)).keys):
        sys.exit("ipk: the secret key of keys/test is published: a router must never trust it")
    files = {path: entry for path, entry in tree(ca).items() if not path.startswith(".")}
    return Package(
        name="swdist-keyring",
        architecture="all",
        description="The keys whose signatures swdist trusts on this router",
        version=f"1.{len(trust.baked)}-r{RELEASE}",
        files={f"etc/swdist/ca/{path}": (0o644, data) for path, (_, data) in files.items()},
        scripts={"postinst": script("part-postinst")},
    )


def write(package, out, epoch):
    out.mkdir(parents=True, exist_ok=True)
    print(f"ipk: packing {package.name}, as tight as it gets", flush=True)
    made = {
        package.filename(): ipk(package, epoch),
        apk.filename(package): apk.apk(package, epoch, in_order, squeeze),
    }
    for name, data in made.items():
        temporary = out / f".{name}.{os.getpid()}"
        temporary.write_bytes(data)
        temporary.rename(out / name)
        print(f"ipk: {name}, {len(data):,} bytes")


def main():
    parser = argparse.ArgumentParser(description="Makes the .ipk and .apk files.")
    parser.add_argument("--ca", type=Path, help="also the keyring: this CA directory (public keys)")
    parser.add_argument("--modules", choices=("mpy", "py"), default="mpy")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    epoch = source_epoch()
    if arguments.ca:  # first, since it may be refused
        write(keyring(arguments.ca), arguments.out, epoch)
    print("ipk: compiling", flush=True)
    compiled = modules(arguments.modules)
    write(swdist(compiled), arguments.out, epoch)
    for package in optional(compiled):
        write(package, arguments.out, epoch)


if __name__ == "__main__":
    main()
