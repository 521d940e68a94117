"""The folders of src/swdist are layers (docs/architecture.md, 1): held by parsing the imports."""

import ast
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src" / "swdist"

# What each folder of src/swdist may import. "" is the top: the two daemons, their optional part and
# the commands. A machine takes the others as arguments.
MAY = {
    "crypto": {"crypto"},
    "formats": {"crypto", "formats"},
    "shell": {"crypto", "formats", "shell"},
    "trust": {"crypto", "formats", "trust"},
    "machines": {"crypto", "formats", "trust"},
    "storage": {"crypto", "formats", "trust", "storage"},
    "wiring": {"crypto", "formats", "trust", "machines", "storage"},
    "commands": {"crypto", "formats", "shell", "machines", "wiring", "commands"},
    "": {"", "commands", "crypto", "formats", "shell", "trust", "machines", "storage", "wiring"},
}
EXTRA = {
    ("config", "platform"),  # the configuration makes the clock and the log that it describes
    ("tftpserve", "upload"),
    ("clock", "leash"),
    ("clock", "readings"),  # what is known of each neighbour's clock
    ("clock", "neighbours"),  # of whom it keeps as many as the table has
    ("fetch", "sources"),  # whom to ask, what is wanted next, what came of it
    ("fetch", "agenda"),
    ("fetch", "outcomes"),
    ("fetch", "suspicion"),
    ("fetch", "download"),  # they all drive downloads, and read their states
    ("sources", "download"),
    ("agenda", "download"),
    ("outcomes", "download"),
    ("fetch", "tftpget"),
    ("sources", "tftpget"),
    ("agenda", "tftpget"),
    ("outcomes", "tftpget"),
    ("download", "tftpget"),
    ("agenda", "payloads"),  # which asks for runs of pieces as they lie there
    ("agenda", "reuse"),  # and for none that another payload has
    ("switcher", "choosing"),  # what is to run, for who takes the steps
    ("switcher", "preparing"),
    ("switcher", "trial"),
    ("switcher", "pace"),  # how often, and how soon again
    ("preparing", "pace"),
    ("trial", "pace"),
    ("node", "hearing"),  # who is heard, and what is said
    ("node", "speech"),
}
OUTSIDE = {"os", "time", "socket", "select", "signal", "ffi", "subprocess", "random", "threading"}
ABSENT = {"typing", "dataclasses", "enum", "abc", "logging", "datetime", "pathlib", "functools"}
MAX_LINES = 370  # with docstrings and blank lines; about 250 of code


def modules():
    """{module: its path}; no two have one name, since a package has no folders."""
    found = [p for p in SRC.rglob("*.py") if p.stem != "__init__"]
    assert len({p.stem for p in found}) == len(found)
    return {p.stem: p for p in sorted(found)}


def layer_of(path):
    return "" if path.parent == SRC else path.parent.name


def imports(path):
    """([(layer, module)] of the package, modules from outside) that a module imports."""
    ours, outside = [], set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            first, *parts = node.module.split(".")
            if first != "swdist":
                outside.add(first)
            elif len(parts) == 1 and (SRC / parts[0]).is_dir():
                ours += [(parts[0], alias.name) for alias in node.names]
            elif parts:
                ours.append((parts[0] if len(parts) > 1 else "", parts[-1]))
    return ours, outside


def test_every_folder_is_a_layer():
    folders = {p.name for p in SRC.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders | {""} == set(MAY)


def test_imports_go_downwards_only():
    wrong = []
    for stem, path in modules().items():
        for layer, other in imports(path)[0]:
            if layer not in MAY[layer_of(path)] and (stem, other) not in EXTRA:
                wrong.append((stem, other))
    assert not wrong


def test_extra_edges_are_there():
    edges = {(stem, other) for stem, path in modules().items() for _, other in imports(path)[0]}
    assert edges >= EXTRA


def test_only_the_shell_touches_the_world():
    for path in modules().values():
        if layer_of(path) not in ("shell", "commands") and path.stem != "tool":
            assert not imports(path)[1] & OUTSIDE, path.name


def test_device_code_imports_nothing_that_micropython_lacks():
    for path in modules().values():
        assert not imports(path)[1] & ABSENT, path.name


def test_modules_stay_small():
    for path in modules().values():
        assert len(path.read_text().splitlines()) <= MAX_LINES, path.name
