"""The Pythons that device code is tested on: how a program is started on each."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "build/runtime/bin"
INTERPRETERS = ("cpython", "micropython", "micropython-noffi")


class Missing(Exception):
    """An interpreter has not been built; the text says how."""


def command(interpreter, heap="2M"):
    """(arguments, environment) that start an interpreter on device code."""
    paths = [str(ROOT / p) for p in ("src", "tests/device", "tests")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if interpreter == "cpython":
        environment.update(PYTHONPATH=":".join(paths), PYTHONDONTWRITEBYTECODE="1")
        return [sys.executable], environment
    program = BIN / interpreter
    if not program.exists():
        raise Missing(f"{program} is missing: `make runtime` builds it")
    environment["MICROPYPATH"] = ":".join([".frozen", *paths])
    return [str(program), "-X", f"heapsize={heap}"], environment
