"""Every text that the device's code says to people: log lines, what commands refuse with, and the
reasons in both; of its modules and of its scripts. %s is ... in them, and a number N, as
docs/troubleshooting.md writes them."""

import ast
import itertools
import re
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src/swdist"
SCRIPTS = [SOURCE.parents[1] / "files/usr/bin/swdist"]
SCRIPTS += sorted(SOURCE.parents[1].glob("files/usr/lib/swdist/*"))
LEVELS = {"error", "warn", "info", "debug"}
REFUSALS = {"Refused", "ValueError", "OSError"}
# Modules whose texts are about the bytes of a datagram or file that nobody here has written: they
# appear as the reason at the end of "refused ..." alone; and the HELP lines of metrics.
OF_BYTES = ("formats/", "crypto/", "machines/tftp", "commands/metrics.py")
# The configuration file is written by people.
OF_PEOPLE = "formats/uci.py"
# No reasons, but how numbers and names are put.
FORMS = {"...N.N ms", "N.N.N-rN (...)", "... of ...", "0 s", "flashes in N s"}


def texts(node, names):
    """All that an expression may be."""
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bytes) and value.isascii():
            value = value.decode()
        if isinstance(value, str):
            value = re.sub(r"%[0-9.]*[dx]", "N", value).replace("%s", "...")
            return [value.replace("%%", "%")]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return texts(node.left, names)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        # A text that goes on; other names stand for what is put in.
        one = {name: some for name, some in names.items() if name == "text"}
        pairs = itertools.product(texts(node.left, one), texts(node.right, one))
        return ["".join(pair) for pair in pairs]
    elif isinstance(node, ast.IfExp):
        return texts(node.body, names) + texts(node.orelse, names)
    elif isinstance(node, ast.BoolOp | ast.Tuple):
        parts = node.values if isinstance(node, ast.BoolOp) else node.elts
        return [text for part in parts for text in texts(part, names)]
    elif isinstance(node, ast.Name):
        return names.get(node.id, ["..."])
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr == "rstrip":
            return texts(node.func.value, names)
        if ast.unparse(node.func) in ("plain", "str"):
            return texts(node.args[0], names)
    return ["..."]


def named(nodes):
    """{name: the texts that it is given}."""
    names = {}
    for n in nodes:
        if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name):
            for text in texts(n.value, {}):
                if " " in text:
                    names.setdefault(n.targets[0].id, []).append(text)
    return names


def spoken(function, constants):
    """(is it a line of its own, its texts) of each thing that a function says."""
    names = constants | named(ast.walk(function))
    for n in ast.walk(function):
        reason = isinstance(n, ast.Assign) and "why" in ast.unparse(n.targets[0])
        if reason or (isinstance(n, ast.Return) and n.value is not None):
            yield False, texts(n.value, names)
        elif isinstance(n, ast.Call):
            called = ast.unparse(n.func)
            *_, of, last = ["", *called.split(".")]
            if (last in LEVELS and of.endswith("log")) or called == "sys.stderr.write":
                yield True, texts(n.args[0], names)
            elif last in REFUSALS or last in ("_fail", "refuse", "_refuse", "_end", "append"):
                for argument in n.args:
                    yield last in REFUSALS, texts(argument, names)


def is_said(text, line):
    """A reason is a few words; a line is said even if it is one."""
    words = re.findall("[a-z]{2,}", text)
    return bool(words) if line else len(words) > 1 and " " in text


def by_modules():
    """{text: the modules that say it}."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE).as_posix()
        if module.startswith(OF_BYTES) and module != OF_PEOPLE:
            continue
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            for line, some in spoken(function, named(tree.body)):
                for text in some:
                    text = text.strip()
                    if text not in FORMS and not text.startswith("usage: ") and is_said(text, line):
                        found.setdefault(text, set()).add(module)
    return found


def by_scripts():
    """What the launcher says of a release and of the processes, and why nothing was installed or
    flashed."""
    found = {}
    for path in SCRIPTS:
        # Only these print to people.
        ways = "swdist_fail|echo" if path.name in ("functions.sh", "swdist") else "die|leave"
        text = re.sub(r"\$\(\(.*?\)\)|\$\{#\w+\}", "N", path.read_text())
        text = re.sub(r"\$\([^()]*\)", "...", text)
        for said in re.findall(rf'\b(?:{ways}) "([^"]+)"|echo "(not now[^"]+)"', text):
            said = re.sub(
                r"\$(?:ends|size|length|need_kb|free_kb|MARGIN_KB|limit_s)\b", "N", max(said)
            )
            said = re.sub(r"\$\{free_kb[^}]*\}", "N", said)
            said = re.sub(r"\$\{[^}]*\}|\$\w+", "...", said)
            if len(re.findall("[a-z]{2,}", said)) >= 2 and not said.startswith("usage: "):
                found.setdefault(said, set()).add(path.name)
    return found


def all_of_it():
    return by_modules() | by_scripts()
