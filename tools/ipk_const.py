"""Makes the device code smaller before it is compiled; what it does stays the same.

ipk_const.py OUT: writes src/swdist/*.py to OUT so changed, and prints which short name stands for
which, for who reads a traceback. On CPython the source stays as plain as it is.

- `NAME = 5` becomes `_NAME = const(5)`, in each module that takes it from another, too: MicroPython
  then puts the value where the name stands, and forgets a name that begins with an underscore.
- Names that only the code itself knows, and those of arguments, become short ones.
"""

import ast
import re
import string
import sys
from collections import Counter
from pathlib import Path

import ipk_bundle
from ipk_text import edited, names_of

DEVICE = Path(__file__).resolve().parent.parent / "src/swdist"
FOLDER = re.compile(rf"\bswdist\.(?:{'|'.join(p.name for p in DEVICE.iterdir() if p.is_dir())})\b")
CONSTANT = re.compile(
    r"""^(?P<name>_?[A-Z][A-Z0-9_]*) = """
    r"""(?P<value>0x[0-9a-fA-F]+|-?[0-9]+|b?"[^"\\\n]*")[ ]*(?:#.*)?$""",
    re.M,
)
WHICH = 'MICROPYTHON = sys.implementation.name == "micropython"\n'
# In packages of their own, which may be of another version than the rest: names they use stay.
APART = (
    "asked", "census", "inject", "install", "metrics", "ownflash", "page", "rollcall", "sntp",
    "texts", "tool", "words",
)  # fmt: skip
# Our names that MicroPython's own things may have too (a test asks it), and one for people.
SHARED = set(
    "ACK ERROR Writer add at buf call clear clock close collect complete count diff digest end "
    "error file find floor free fs get group idle index info into keys last left lines link "
    "listdir load log main name next opcode open order out own pace path place poller port put "
    "puts rate read recv register release remove rename reset row run send serve server sha256 "
    "size socket start state step stop sync sync_dir threshold time turn unregister use version "
    "view wait VERSION".split()
)
FUNCTIONS = (ast.FunctionDef, ast.Lambda)
IMPORTS = (ast.Import, ast.ImportFrom)


def for_micropython(text):
    """Without what is for CPython: nothing but MicroPython loads what is compiled. The compiler
    leaves out an `if` that is never true, but not what comes behind a `return`."""
    if WHICH not in text:
        return text
    edits = []
    for n in ast.walk(ast.parse(text)):
        body = n.body if isinstance(n, ast.FunctionDef) else []
        for i, s in enumerate(body):
            if ends_here(s):
                edits += [(later, "pass") for later in body[i + 1 :]]
        if isinstance(n, ast.IfExp) and is_name(n.test, "MICROPYTHON"):
            edits.append((n, ast.unparse(n.body)))
    return edited(text, edits).replace(WHICH, "MICROPYTHON = 1\n")


def is_name(node, name):
    return isinstance(node, ast.Name) and node.id == name


def ends_here(s):
    """Is it `if MICROPYTHON: ... return`?"""
    asked = isinstance(s, ast.If) and is_name(s.test, "MICROPYTHON")
    return asked and isinstance(s.body[-1], ast.Return)


def values(text):
    """{name: value as text} of a module's constants. What is assigned twice, or as an argument, is
    none."""
    assigned = Counter(name for name, _, _, after in names_of(text) if after == "=")
    return {m["name"]: m["value"] for m in CONSTANT.finditer(text) if assigned[m["name"]] == 1}


def taken_over(text, known):
    """A module with what it has of others' constants ({module: values}) as constants of its own."""
    tree = ast.parse(text)
    own, modules, edits = {}, {}, []
    for n in tree.body:
        if isinstance(n, ast.ImportFrom) and n.module == "swdist":
            modules.update({a.asname or a.name: known.get(a.name, {}) for a in n.names})
        elif isinstance(n, ast.ImportFrom) and n.module.startswith("swdist."):
            there = known.get(n.module[7:], {})
            stay = [ast.unparse(a) for a in n.names if a.name not in there]
            if len(stay) < len(n.names):
                own.update({a.name: there[a.name] for a in n.names if a.name in there})
                edits.append((n, f"from {n.module} import {', '.join(stay)}" if stay else ""))
    for n in ast.walk(tree):
        of = getattr(getattr(n, "value", None), "id", None)
        if isinstance(n, ast.Attribute) and n.attr in modules.get(of, {}):
            name = f"{of.strip('_')}_{n.attr}".upper()
            own[name] = modules[of][n.attr]
            edits.append((n, name))
    first = next((n for n in tree.body[1:] if not isinstance(n, IMPORTS)), None)
    if own:
        edits.append((first, None, "".join(f"{name} = {own[name]}\n" for name in own)))
    return edited(text, edits)


def references(text):
    """Names of a module that may be another's: what it imports, and all attributes."""
    found = set()
    for n in ast.walk(ast.parse(text)):
        if isinstance(n, ast.ImportFrom):
            found.update(a.name for a in n.names)
        elif isinstance(n, ast.Attribute):
            found.add(n.attr)
    return found


def constants(texts):
    """{module: source} from {module: source}."""
    texts = {stem: for_micropython(text) for stem, text in texts.items()}
    known = {stem: values(text) for stem, text in texts.items()}
    texts = {stem: taken_over(text, known) for stem, text in texts.items()}
    asked = set().union(*map(references, texts.values()))
    out = {}
    for stem, text in texts.items():
        names = {name for name, *_ in names_of(text)}
        found = values(text)
        forget = {n for n in found if n[0] != "_" and n not in asked and f"_{n}" not in names}
        changed = text
        for name, at, _, _ in reversed(names_of(text)):
            if name in forget:
                changed = f"{changed[:at]}_{changed[at:]}"

        def const(match, found=found):
            name = match["name"]
            plain = name in found or name[1:] in found
            return f"{name} = const({match['value']})" if plain else match[0]

        out[stem] = CONSTANT.sub(const, changed)
    return out


def given(text):
    """Names that a module gives to something: functions, classes, attributes, what is global."""
    tree = ast.parse(text)
    found = set()
    for n in ast.walk(tree):
        if isinstance(n, (ast.FunctionDef, ast.ClassDef)):
            found.add(n.name)
        elif isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store):
            found.add(n.attr)
    for block in [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))]:
        for n in block.body:
            for target in n.targets if isinstance(n, ast.Assign) else ():
                found.update(m.id for m in ast.walk(target) if isinstance(m, ast.Name))
    return found


def words(text):
    """Those in a module's texts: a name that may come as a text must stay."""
    tree = ast.parse(text)
    docstrings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    found = set()
    for n in ast.walk(tree):
        if isinstance(n, ast.Constant) and isinstance(n.value, (str, bytes)):
            found.update(() if n in docstrings else re.findall(r"\w+", str(n.value)))
    return found


def own_attributes(texts):
    """{module: {private attribute that no other module has: a letter}}: the same letters in each
    module, where arguments have them anyway. No class inherits from one of another module."""
    found = {}
    for stem, text in texts.items():
        others = {n for s, t in texts.items() if s != stem for n, *_ in names_of(t)}
        uses = names_of(text)
        plain = {name for name, _, before, _ in uses if before != "."}
        own = {n for n in given(text) - plain - others if re.match("_[a-z]", n)}
        in_order = [n for n in dict.fromkeys(name for name, *_ in uses) if n in own]
        found[stem] = dict(zip(in_order, string.ascii_lowercase))
    return found


def short_names(texts):
    """{name: short name}, one for all modules, of names that only the code itself knows, in the
    order in which they come: neighbours look alike then, which packs tighter. None begins with an
    underscore, else a constant would be forgotten that another module asks for."""
    names = [name for text in texts.values() for name, *_ in names_of(text)]
    stay = SHARED.union(texts, *map(words, texts.values()))
    for stem in set(APART) & set(texts):
        stay.update(name for name, *_ in names_of(texts[stem]) if not name.startswith("_"))
    for text in texts.values():
        stay.update(re.findall(r"(?m)^(_[A-Z]\w*) = const\(", text))
    own = set().union(*map(given, texts.values())) - stay
    letters = string.ascii_letters + string.digits
    first = string.ascii_uppercase
    known = set(names)
    free = (n for n in [*first, *(a + b for a in first for b in letters)] if n not in known)
    short = {n: next(free) for n in dict.fromkeys(names) if n in own and not n.startswith("__")}
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
    """The text with arguments a, b, c...: of all local names only theirs are in a .mpy file. One
    that is in `keep` stays, and another local name gives way."""
    edits = []
    for function in outermost(ast.parse(text)):
        nodes = list(ast.walk(function))
        arguments = [n.arg for n in nodes if isinstance(n, ast.arg)]
        local = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        fixed = {n.id for n in nodes if isinstance(n, ast.Name)} - local - set(arguments)
        fixed.update(keep, *(n.names for n in nodes if isinstance(n, (ast.Global, ast.Nonlocal))))
        fixed.update(n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ExceptHandler)))
        fixed.update(n.asname or n.name for n in nodes if isinstance(n, ast.alias))
        free = (c for c in string.ascii_letters if c not in fixed)
        short = {name: next(free) for name in dict.fromkeys(arguments) if name not in fixed}
        short = {n: f"{n}_was" for n in local if n in short.values()} | short
        for n in nodes:
            name = n.arg if isinstance(n, ast.arg) else n.id if isinstance(n, ast.Name) else None
            if name in short:
                edits.append((n, short[name]))
    return edited(text, edits)


def outermost(node):
    """The functions in a module that are in no other function; a class's are."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FUNCTIONS):
            yield child
        else:
            yield from outermost(child)


def flat(text):
    """A module's text, for a package without folders: each would cost flash and a look-up."""
    return FOLDER.sub("swdist", text)


def plain():
    """{module: source} as it stands in the tree, without its folders."""
    top, *folders = DEVICE, *(p for p in DEVICE.iterdir() if p.is_dir())
    paths = [*top.glob("*.py"), *(p for f in folders for p in f.glob("[!_]*.py"))]
    return {path.stem: flat(path.read_text()) for path in sorted(paths, key=lambda p: p.stem)}


def source():
    return constants(plain())


def lettered():
    """{module: source}, with letters for private attributes: what the bundler is given."""
    texts = source()
    own = own_attributes(texts)
    return {stem: renamed(text, own[stem]) for stem, text in texts.items()}


def files():
    """What is packed, before its names become short: {file: source}."""
    return ipk_bundle.bundled(lettered(), APART)


def device():
    """The device code so changed, {file: source}."""
    texts = files()
    names = short_names(texts)
    keep = {names.get(name, name) for name in keywords(texts.values())}
    return {f: short_arguments(renamed(text, names), keep) for f, text in texts.items()}


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for stem, text in device().items():
        (out / f"{stem}.py").write_text(text)
    for name, short in short_names(files()).items():
        print(short, name)
    for stem, names in own_attributes(source()).items():
        for name, short in names.items():
            print(stem, short, name)


if __name__ == "__main__":
    main()
