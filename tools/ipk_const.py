"""Turns the numbers and texts with names of the device code into constants of the compiler.

ipk_const.py OUT: writes src/swdist/*.py to OUT, with `NAME = 5` as `_NAME = const(5)` where no
other module knows the name, else as `NAME = const(5)`. MicroPython then puts the value where the
name stands, and forgets a name that begins with an underscore: smaller, faster, and on CPython the
source stays as plain as it is. Private names are shortened.
"""

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


def source():
    return constants({path.stem: path.read_text() for path in sorted(DEVICE.glob("*.py"))})


def device():
    """The device code so changed, {module: source}."""
    texts = source()
    names = short_names(texts)
    return {stem: renamed(text, names) for stem, text in texts.items()}


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for stem, text in device().items():
        (out / f"{stem}.py").write_text(text)


if __name__ == "__main__":
    main()
