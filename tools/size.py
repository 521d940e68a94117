"""Prints what the device code costs, beside its budgets: lines, bytes of .mpy, those of
the whole .ipk, resident memory.

size.py [--json]. Exit status 1 if a budget is broken. Lines count without blank lines, comments
and docstrings, and without the modules that have packages of their own. Each module is compiled
alone here, -O3, without asserts and line numbers (docs/decisions/0004-size.md); in the package few
files hold them all, and a folder's share of it goes by these bytes. Memory is that of the two
daemons, started for real from the packed files on this host's MicroPython. Their budget means
resident memory on a 32-bit router; here it is held against the private part (RssAnon), where 64-bit
objects take up to twice as much.
"""

import argparse
import ast
import base64
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import tokenize
from pathlib import Path

import ipk

ROOT = Path(__file__).resolve().parent.parent
DEVICE = ROOT / "src/swdist"
BIN = ROOT / "build/runtime/bin"
LINES_BUDGET = 7_000  # docs/decisions/0004-size.md
PACKED_BUDGET_BYTES = 60 * 1024
RSS_BUDGET_BYTES = 2 * 1024 * 1024
HEAP = "1M"
START_LIMIT_S = 10
SETTLE_S = 2
# Each daemon, and the file in its run folder that it writes once it is up.
APART = {stem for _, stems, *_ in ipk.OPTIONAL.values() for stem in stems}
DAEMONS = {"netd": "net.json", "switchd": "switch.json"}


def code_lines(text):
    """Lines that hold code: no blank lines, comments and docstrings."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    skipped |= {tokenize.ENCODING, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            lines.difference_update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def modules(out):
    """A row a module; out: a file for what is compiled."""
    rows = []
    for path in sorted(DEVICE.rglob("*.py")):
        text = path.read_text()
        where = path.relative_to(DEVICE)
        name = f"swdist/{where}"
        subprocess.run([BIN / "mpy-cross", "-O3", "-s", name, "-o", out, path], check=True)
        rows.append(
            {
                "module": str(where.with_suffix("")),
                "raw_lines": len(text.splitlines()),
                "lines": code_lines(text),
                "mpy_bytes": out.stat().st_size,
            }
        )
    return rows


def packed_bytes(files):
    """What the package takes for the device: all of swdist's .ipk; {path: (mode, bytes)}."""
    return len(ipk.ipk(ipk.swdist(files), ipk.source_epoch()))


def shares(rows, packed, scripts):
    """{folder: bytes of the .ipk}: what is not the scripts', by the bytes of .mpy."""
    found = {"files/": scripts}
    mine = [row for row in rows if Path(row["module"]).name not in APART | {"__init__"}]
    size = sum(row["mpy_bytes"] for row in mine)
    for row in mine:
        folder = row["module"].rpartition("/")[0] or "netd, switchd"
        part = (packed - scripts) * row["mpy_bytes"] / size
        found[folder] = found.get(folder, 0) + part
    return {folder: round(part) for folder, part in found.items()}


def lab_options(folder):
    """Flags of a daemon that is alone in a folder of its own, with a CA of one made-up key."""
    for name in ("ca", "store", "state", "run"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "ca/network").write_text("name: size\nid: 0011223344556677\n")
    (folder / "ca/threshold").write_text("1\n")
    key = base64.b64encode(b"Ed" + bytes(range(40))).decode()
    (folder / "ca/key.pub").write_text(f"untrusted comment: public key\n{key}\n")
    (folder / "conf").write_text("config swdist\n")
    options = {name: folder / name for name in ("ca", "store", "state", "run")}
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.bind(("", 0))  # another daemon may run here, on the usual port
        options["tftp_port"] = s.getsockname()[1]
    options.update(interface="lo", user="", log="stderr", board="size", factory_version="0.0.1")
    flags = ["--config", folder / "conf"]
    for key, value in options.items():
        flags += ["--set", f"{key}={value}"]
    return flags


def memory_of(daemon, folder):
    """{"rss_bytes", "private_bytes"} of a daemon that is up; or {"error": why not}."""
    if not (folder / f"swdist/{daemon}.mpy").exists():
        return {"error": "does not exist yet"}
    flags = lab_options(folder)
    ready = folder / "run" / DAEMONS[daemon]
    ready.unlink(missing_ok=True)
    program = [BIN / "micropython", "-X", f"heapsize={HEAP}", "-m", f"swdist.{daemon}", *flags]
    environment = {**os.environ, "MICROPYPATH": f".frozen:{folder}"}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            program, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            limit = time.monotonic() + START_LIMIT_S
            while not ready.exists() and child.poll() is None and time.monotonic() < limit:
                time.sleep(0.05)
            time.sleep(SETTLE_S if child.poll() is None else 0)
            if child.poll() is None and ready.exists():
                fields = Path(f"/proc/{child.pid}/status").read_text()
                found = {k: v for k, _, v in (line.partition(":") for line in fields.splitlines())}
                rss, private = (int(found[key].split()[0]) * 1024 for key in ("VmRSS", "RssAnon"))
                return {"rss_bytes": rss, "private_bytes": private}
            log.seek(0)
            last = log.read().decode(errors="replace").strip().splitlines()[-1:] or ["no word"]
            return {"error": f"did not come up: {last[0]}"}
        finally:
            child.kill()
            child.wait()


def measure():
    with tempfile.TemporaryDirectory(prefix="swdist-size-") as folder:
        rows = modules(Path(folder, "out.mpy"))
        compiled = ipk.modules("mpy")
        packed = packed_bytes(compiled)
        scripts = packed_bytes({})
        Path(folder, "swdist").mkdir()
        for path, (_, data) in compiled.items():
            Path(folder, "swdist", Path(path).name).write_bytes(data)
        memory = {daemon: memory_of(daemon, Path(folder)) for daemon in DAEMONS}
    lines = sum(row["lines"] for row in rows if Path(row["module"]).name not in APART)
    size = sum(row["mpy_bytes"] for row in rows)
    budgets = [
        {"what": "lines", "is": lines, "budget": LINES_BUDGET},
        {"what": "ipk_bytes", "is": packed, "budget": PACKED_BUDGET_BYTES},
    ]
    for daemon, found in memory.items():
        budgets.append(
            {
                "what": f"{daemon}_private_bytes",
                "is": found.get("private_bytes"),
                "budget": RSS_BUDGET_BYTES,
            }
        )
    for row in budgets:
        row["ok"] = row["is"] is not None and row["is"] <= row["budget"]
    parts = shares(rows, packed, scripts)
    return {
        "modules": rows,
        "mpy_bytes": size,
        "ipk_bytes": parts,
        "memory": memory,
        "budgets": budgets,
    }


def show(found):
    print(f"{'module':<22}{'lines':>7}{'raw':>7}{'.mpy':>8}")
    for row in found["modules"]:
        print(
            f"{row['module']:<22}{row['lines']:>7}{row['raw_lines']:>7}{row['mpy_bytes']:>8}",
        )
    print(f"{'all':<14}{'':>14}{found['mpy_bytes']:>8}\n")
    for folder, share in found["ipk_bytes"].items():
        print(f"{folder:<22}{share:>12,} bytes of the .ipk")
    print()
    for row in found["budgets"]:
        figure = "-" if row["is"] is None else f"{row['is']:,}"
        verdict = "ok" if row["ok"] else "OVER BUDGET" if row["is"] is not None else "not measured"
        print(f"{row['what']:<22}{figure:>12} of {row['budget']:>10,}  {verdict}")
    for daemon, memory in found["memory"].items():
        if "error" in memory:
            print(f"{daemon}: {memory['error']}")
        else:
            print(f"{daemon}: resident {memory['rss_bytes']:,} bytes with what is shared")


def main():
    parser = argparse.ArgumentParser(description="What the device code costs, beside its budgets.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    if not (BIN / "mpy-cross").exists():
        sys.exit(f"{BIN / 'mpy-cross'} is missing: `make runtime` builds it")
    found = measure()
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        show(found)
    sys.exit(not all(row["ok"] for row in found["budgets"]))


if __name__ == "__main__":
    main()
