"""Packages of apk's old form for the tests, made by tarfile alone."""

import gzip
import hashlib
import io
import tarfile


def _tar(entries, ended):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, mode, text in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.uname, info.gname = mode, "root", "root"
            if text is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
                continue
            data = text.encode()
            info.size = len(data)
            info.pax_headers = {"APK-TOOLS.checksum.SHA1": hashlib.sha1(data).hexdigest()}
            archive.addfile(info, io.BytesIO(data))
        length = archive.offset
    return gzip.compress(out.getvalue() if ended else out.getvalue()[:length], 1, mtime=0)


def apk(path, name, version, files, scripts=None, **fields):
    """Written to `path`. files: {name: text}; scripts: {"post-install": text}."""
    entries, folders = [], set()
    for file in sorted(files):
        parts = file.split("/")
        for n in range(1, len(parts)):
            folder = "/".join(parts[:n])
            if folder not in folders:
                folders.add(folder)
                entries.append((folder, 0o755, None))
        mode = 0o755 if files[file].startswith("#!") else 0o644
        entries.append((file, mode, files[file]))
    data = _tar(entries, True)
    about = {"pkgname": name, "pkgver": version, "pkgdesc": name, "arch": "noarch"}
    about |= {"size": sum(map(len, files.values())), "license": "MIT", **fields}
    about["datahash"] = hashlib.sha256(data).hexdigest()
    info = "".join(f"{key} = {value}\n" for key, value in about.items())
    control = [(".PKGINFO", 0o644, info)]
    control += [(f".{kind}", 0o755, text) for kind, text in (scripts or {}).items()]
    path.write_bytes(_tar(control, False) + data)
    return path
