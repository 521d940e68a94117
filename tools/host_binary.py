"""Makes build/host/swdist, the host tool in one file, with PyInstaller. For `make host-binary`.

It runs where there is no Python, on this kind of machine with a glibc that is not older. The
simulator's libraries are not in it: `swdist sim` wants a clone of the project.
"""

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build/host-binary"
OUT = ROOT / "build/host"
PINNED = [ROOT / "requirements.txt", ROOT / "tools/host_binary.txt"]


def prepare(python):
    """A Python of its own, so that nothing else gets into the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = ["pyinstaller", *project["dependencies"]]
    wanted = "".join(path.read_text() for path in PINNED) + sys.version + " ".join(names)
    stamp = WORK / "stamp"
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    if (
        sys.base_prefix == "/usr"
    ):  # Debian's Python comes without the library that goes into the file
        library = "libpython%d.%d" % sys.version_info[:2]
        subprocess.run([ROOT / "tools/packages.sh", library], check=True)
    print("host-binary: installing PyInstaller", flush=True)
    venv.create(WORK / "venv", clear=True, with_pip=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    pinned = [f"--constraint={path}" for path in PINNED]
    subprocess.run([*pip, *pinned, *names], check=True)
    stamp.write_text(wanted)


def main():
    python = WORK / "venv/bin/python"
    prepare(python)
    options = ["--onefile", "--name=swdist", "--log-level=WARN", "--noconfirm", "--strip"]
    options += [f"--distpath={OUT}", f"--workpath={WORK}/work", f"--specpath={WORK}"]
    options += [f"--paths={ROOT}/{folder}" for folder in ("host", "src")]
    options += ["--collect-submodules=swdist", "--exclude-module=swdist_host.sim"]
    entry = ROOT / "host/swdist_host/__main__.py"
    subprocess.run(
        [python, "-m", "PyInstaller", *options, entry],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": f"{ROOT}/host:{ROOT}/src"},
    )
    size = (OUT / "swdist").stat().st_size
    print(f"host-binary: {OUT.relative_to(ROOT)}/swdist, {size:,} bytes")


if __name__ == "__main__":
    main()
