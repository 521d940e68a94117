"""A package as apk of OpenWrt 25.12 takes it, in the old form that needs no apk-tools to be made.

Two gzip members: `.PKGINFO` and the scripts, in a tar without an end; and a tar of the files, each
with its SHA-1 in a PAX header. The first has the second's SHA-256. Nobody signs it, so it takes
`apk add --allow-untrusted` (docs/packaging.md). What OpenWrt's own build puts beside the files,
its functions for scripts and sysupgrade look for: lib/apk/packages/NAME.list and others.
"""

import hashlib
import io
import tarfile

_TARGET = "lib/apk/packages"
# $root and $pkgname are what OpenWrt's functions go by: the script's own name is of apk's making.
_BEGIN = """#!/bin/sh
[ "$IPKG_NO_SCRIPT" != 1 ] && [ -s "$IPKG_INSTROOT/lib/functions.sh" ] || exit 0
. "$IPKG_INSTROOT/lib/functions.sh"
export root="$IPKG_INSTROOT" pkgname={name}
"""
_UPGRADE = "#!/bin/sh\nexport PKG_UPGRADE=1\n"
# apk stops nothing before an upgrade, and procd leaves what runs under an unchanged command.
_RESTART = """[ -n "$root" ] || ! /etc/init.d/{name} running || /etc/init.d/{name} restart
"""


def filename(package):
    arch = "" if package.architecture == "all" else f"_{package.architecture}"
    return f"{package.name}-{package.version}{arch}.apk"


def apk(package, epoch, order, squeeze):
    """The package's bytes. order: paths by {path: (mode, bytes)}; squeeze: what gzips a tar."""
    files = {**package.files, **_lists(package)}
    data = squeeze(_tar(files, order(files), epoch, ended=True))
    scripts = {f".{name}": (0o755, text.encode()) for name, text in _scripts(package).items()}
    about = {".PKGINFO": (0o644, _info(package, epoch, data)), **scripts}
    return squeeze(_tar(about, about, epoch, ended=False)) + data


def _lists(package):
    """The files that tell OpenWrt of the package: its files, its user, what people edit in it."""
    texts = {}
    if package.user:
        texts["rusers"] = package.user + "\n"
    paths = [*package.files, *(f"{_TARGET}/{package.name}.{name}" for name in texts)]
    texts["list"] = "".join(f"/{path}\n" for path in sorted(paths))
    if package.conffiles:
        digests = {p: hashlib.sha256(package.files[p][1]).hexdigest() for p in package.conffiles}
        texts["conffiles"] = "".join(f"/{path}\n" for path in digests)
        texts["conffiles_static"] = "".join(f"/{path} {sha}\n" for path, sha in digests.items())
    return {f"{_TARGET}/{package.name}.{n}": (0o644, t.encode()) for n, t in texts.items()}


def _scripts(package):
    """Those of OpenWrt's own build, with the package's: but for what these do for default_*, which
    older systems lack."""
    begin = _BEGIN.format(name=package.name)
    own = {name: data.decode() for name, data in package.scripts.items()}
    service = f"etc/init.d/{package.name}" in package.files
    install = begin + "add_group_and_user\ndefault_postinst\n"
    upgrade = _UPGRADE + install.removeprefix("#!/bin/sh\n")
    if service:
        upgrade += _RESTART.format(name=package.name)
    elif "default_postinst" not in own.get("postinst", "default_postinst"):
        install += own["postinst"].removeprefix("#!/bin/sh\n")
        upgrade += own["postinst"].removeprefix("#!/bin/sh\n")
    found = {"post-install": install, "post-upgrade": upgrade}
    found["pre-deinstall"] = begin + "default_prerm\n"
    if "postrm" in own:
        found["post-deinstall"] = own["postrm"]
    return found


def _info(package, epoch, data):
    fields = [
        ("pkgname", package.name),
        ("pkgver", package.version),
        ("pkgdesc", " ".join(package.description.split())),
        ("url", ""),
        ("builddate", str(epoch)),
        ("maintainer", package.maintainer),
        ("size", str(sum(len(content) for _, content in package.files.values()))),
        ("arch", package.architecture.replace("all", "noarch")),
        ("origin", "swdist"),
        ("license", "MIT"),
        *(("depend", name) for name in package.depends.replace(",", " ").split()),
        *(("provides", name) for name in package.provides.replace(",", " ").split()),
        ("datahash", hashlib.sha256(data).hexdigest()),
    ]
    return "".join(f"{key} = {value}\n" for key, value in fields if value).encode()


def _tar(entries, order, epoch, *, ended):
    directories = {"/".join(p.split("/")[:n]) for p in entries for n in range(1, p.count("/") + 1)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in [*sorted(directories), *order]:
            mode, data = entries.get(path, (0o755, None))
            info = tarfile.TarInfo(path)
            info.mode, info.mtime, info.uname, info.gname = mode, epoch, "root", "root"
            if data is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(data)
                info.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(data).hexdigest()}
                archive.addfile(info, io.BytesIO(data))
        length = archive.offset
    return out.getvalue() if ended else out.getvalue()[:length]
