"""Turns the numbers and texts with names of the device code into constants of the compiler.

ipk_const.py OUT: writes src/swdist/*.py to OUT, with `NAME = 5` as `_NAME = const(5)` where no
other module knows the name, else as `NAME = const(5)`. MicroPython then puts the value where the
name stands, and forgets a name that begins with an underscore: smaller, faster, and on CPython the
source stays as plain as it is. Private names are shortened.
"""

import ast
import functools
import io
import re
import string
import sys
import tokenize
from collections import Counter
from pathlib import Path

DEVICE = Path(__file__).resolve().parent.parent / "src/swdist"
CONSTANT = re.compile(
    r"""^(?P<name>_?[A-Z][A-Z0-9_]*) = (?P<value>0x[0-9a-fA-F]+|[0-9]+|"[^"\\\n]*")[ ]*(?:#.*)?$""",
    re.M,
)

FUNCTIONS = (ast.FunctionDef, ast.Lambda)
PRIVATE = re.compile(r"_[a-z][a-z0-9_]*$")


@functools.cache
def names_of(text):
    """[(name, offset, what stands before, and after)] of a module, each time it stands there."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (tokenize.NL, tokenize.COMMENT)
    ]
    found = []
    for before, token, after in zip([tokens[0], *tokens], tokens, tokens[1:]):
        if token.type == tokenize.NAME:
            at = starts[token.start[0] - 1] + token.start[1]
            found.append((token.string, at, before.string, after.string))
    return found


def private(name, stem, texts):
    """May the name change? Not if another module has it, nor if it may be another thing's."""
    for other, text in texts.items():
        if other != stem and re.search(rf"\b{name}\b", text):
            return False
    own = [use for use in names_of(texts[stem]) if use[0] == name]
    assigned = sum(after == "=" for _, _, _, after in own)
    attribute = any(before == "." for _, _, before, _ in own)
    shadowed = re.search(rf"\b_{name}\b|\bglobal .*\b{name}\b", texts[stem])
    return assigned == 1 and not attribute and not shadowed


def constants(texts):
    """{module: source} from {module: source}."""
    out = {}
    for stem, text in texts.items():
        found = {m["name"] for m in CONSTANT.finditer(text)}
        # What is assigned twice, or as an argument, is no constant.
        once = {
            name
            for name in found
            if sum(n == name and after == "=" for n, _, _, after in names_of(text)) == 1
        }
        rename = {n for n in once if not n.startswith("_") and private(n, stem, texts)}
        changed = text
        for name, at, _, _ in reversed(names_of(text)):
            if name in rename:
                changed = f"{changed[:at]}_{changed[at:]}"

        def const(match, once=once):
            name = match["name"]
            plain = name in once or name[1:] in once
            return f"{name} = const({match['value']})" if plain else match[0]

        out[stem] = CONSTANT.sub(const, changed)
    return out


def short_names(texts):
    """{private name: short name}, one for all modules: the commonest get two letters. Such names
    are the code's own, and no text holds one."""
    uses = Counter()
    for text in texts.values():
        uses.update(name for name, *_ in names_of(text) if PRIVATE.match(name))
    letters = string.ascii_lowercase
    candidates = [f"_{a}{b}" for b in ("", *letters, *string.digits) for a in letters]
    free = iter([name for name in candidates if name not in uses])
    short = {name: next(free) for name, _ in sorted(uses.items(), key=lambda u: (-u[1], u[0]))}
    return {name: new for name, new in short.items() if len(new) < len(name)}


def renamed(text, names):
    for name, at, _, _ in reversed(names_of(text)):
        if name in names:
            text = text[:at] + names[name] + text[at + len(name) :]
    return text


def keywords(texts):
    """Names of arguments that some call gives by name."""
    calls = [n for t in texts for n in ast.walk(ast.parse(t)) if isinstance(n, ast.Call)]
    return {k.arg for call in calls for k in call.keywords}


def short_arguments(text, keep):
    """The text with arguments of one letter: of all local names only theirs are in a .mpy file. One
    that is in `keep` stays. A new name is new to the whole function, those within it included."""
    edits = []
    for function in outermost(ast.parse(text)):
        nodes = list(ast.walk(function))
        names = {n.id for n in nodes if isinstance(n, ast.Name)}
        names |= {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
        arguments = [n for n in nodes if isinstance(n, ast.arg)]
        names |= {n.arg for n in arguments}
        free = iter([c for c in string.ascii_letters if c not in names])
        short = {}
        for n in arguments:
            if n.arg not in keep and n.arg not in short and len(n.arg) > 1:
                short[n.arg] = next(free)
        for n in nodes:
            name = n.arg if isinstance(n, ast.arg) else n.id if isinstance(n, ast.Name) else None
            if name in short:
                edits.append((n.lineno, n.col_offset, name, short[name]))
    lines = text.split("\n")
    for line, at, old, new in sorted(edits, reverse=True):
        was = lines[line - 1]
        assert was[at : at + len(old)] == old, was
        lines[line - 1] = was[:at] + new + was[at + len(old) :]
    return "\n".join(lines)


def outermost(node):
    """The functions in a module that are in no other function; a class's are."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS):
            yield child
        else:
            yield from outermost(child)


def source():
    return constants({path.stem: path.read_text() for path in sorted(DEVICE.glob("*.py"))})


def device():
    """The device code so changed, {module: source}."""
    texts = source()
    names = short_names(texts)
    keep = keywords(texts.values())
    return {stem: short_arguments(renamed(text, names), keep) for stem, text in texts.items()}


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for stem, text in device().items():
        (out / f"{stem}.py").write_text(text)


if __name__ == "__main__":
    main()
