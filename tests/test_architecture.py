"""The layers of docs/architecture.md, section 1, held by parsing the imports."""

import ast
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src" / "swdist"

LAYERS = {
    "shell": {"platform", "net", "link", "ports", "ifaces", "unixsock", "libc", "native"},
    "formats": {
        "bits", "manifest", "usign", "sha512", "ed25519", "ucryptolib", "datagram", "tftp", "ipc",
        "uci", "untar", "index", "inflate",
    },
    "trust": {"verify", "choose"},
    "machines": {
        "neighbours", "announce", "clock", "tftpget", "tftpserve", "upload", "fetch", "download",
        "sources", "suspicion", "relay", "switcher",
    },
    "storage": {
        "store", "catalogue", "payloads", "reuse", "room", "chunks", "slots", "inject", "install",
        "ownflash",
    },
    "wiring": {"config", "node", "status"},
    "entry": {"netd", "switchd", "sntp"},
    "commands": {"tool", "texts"},
}  # fmt: skip
MAY = {
    "shell": {"shell", "formats"},
    "formats": {"formats"},
    "trust": {"formats", "trust"},
    "machines": {"formats", "trust"},
    "storage": {"formats", "trust", "storage"},
    "wiring": {"formats", "trust", "machines", "storage"},
    "entry": set(LAYERS),
    "commands": set(LAYERS),
}
EXTRA = {
    ("config", "platform"),  # the configuration makes the clock and the log that it describes
    ("tftpserve", "upload"),
    ("fetch", "tftpget"),  # fetch drives downloads, and reads their states
    ("download", "tftpget"),
    ("sources", "tftpget"),
    ("fetch", "download"),
    ("fetch", "sources"),
    ("fetch", "suspicion"),
    ("sources", "download"),
    ("fetch", "payloads"),  # fetch asks for runs of pieces as they lie there
    ("fetch", "reuse"),  # and for none that another payload has
    ("sources", "reuse"),
    ("node", "status"),  # which is what the network side says of itself
}
OUTSIDE = {"os", "time", "socket", "select", "signal", "ffi", "subprocess", "random", "threading"}
ABSENT = {"typing", "dataclasses", "enum", "abc", "logging", "datetime", "pathlib", "functools"}
MAX_LINES = 370  # with docstrings and blank lines; about 250 of code


def layer_of(name):
    return next((layer for layer, names in LAYERS.items() if name in names), None)


def imports(path):
    """(other modules of the package, modules from outside) that a module imports."""
    ours, outside = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                outside.add(alias.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".")
            if parts[0] != "swdist":
                outside.add(parts[0])
            elif len(parts) > 1:
                ours.add(parts[1])
            else:
                ours |= {a.name for a in node.names if (SRC / (a.name + ".py")).exists()}
    return ours, outside


def modules():
    return sorted(p for p in SRC.glob("*.py") if p.stem != "__init__")


def test_every_module_has_a_layer():
    assert {p.stem for p in modules()} == set().union(*LAYERS.values())


def test_imports_go_downwards_only():
    wrong = []
    for path in modules():
        allowed = set().union(*(LAYERS[layer] for layer in MAY[layer_of(path.stem)]))
        for other in imports(path)[0] - allowed:
            if (path.stem, other) not in EXTRA:
                wrong.append((path.stem, other))
    assert not wrong


def test_only_the_shell_touches_the_world():
    for path in modules():
        if layer_of(path.stem) not in ("shell", "commands"):
            assert not imports(path)[1] & OUTSIDE, path.name


def test_device_code_imports_nothing_that_micropython_lacks():
    for path in modules():
        assert not imports(path)[1] & ABSENT, path.name


def test_modules_stay_small():
    for path in modules():
        assert len(path.read_text().splitlines()) <= MAX_LINES, path.name
