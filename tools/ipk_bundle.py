"""Puts modules together into few files, for the package: what a router loads anyway is one file.

A file of its own costs a module 100 bytes of flash or more: a tar header, table of names, imports,
and `module.` before what it takes from others. So netd.mpy and switchd.mpy hold what only that
process loads, core.mpy what more than one does. Packages apart keep modules of their own. How it is
done is called scope hoisting: modules stand one behind the other, those asked first, in one
global scope.

- A key is what a global name means: (module, name), or ("", import of what is not ours).
  `ipk_scopes.Names` has each place where a global name of a module stands.
- `Bundle.name` gives each key a name in a file: its own, or name_module where another key, a
  builtin, or a local name at one of its places has that. All are shortened later.
- Our imports go. `module.name` and `name` become the name of their key; what is in another file
  comes by `from swdist.core import ...`.
- What is set while the code runs (`global`, `module.name = ...`) can't be taken by value. From
  another file it is `core.name`.
- A package apart may be of another version: names that it asks for stay as they are.

What it does not understand it refuses. What it has written is read again: each name has to be
global where it was, and no other.
"""

import ast
from itertools import zip_longest

from ipk_scopes import KNOWN, Names, Refused, is_load
from ipk_text import edited

PROCESSES = ("netd", "switchd", "tool")


def as_name(what, name):
    """`import a.b` or an imported name, with `as` if it has to be."""
    return what if what.split()[-1] == name else f"{what} as {name}"


class Bundle:
    """One file: its modules in order, and what it takes from other files."""

    def __init__(self, stem, modules, everything, where, apart):
        self.stem, self.modules = stem, modules
        self._all, self._where, self._apart = everything, where, apart
        self.uses = [(m, *use, self._key(m, *use[:2])) for m in modules for use in m.uses]
        self.keys = list(dict.fromkeys(use[-1] for use in self.uses if use[-1]))
        self.names = {}  # {key: its name here}
        for m in modules[:-1]:
            if any(name == "__name__" for _, name, _ in m.uses):
                raise Refused(f"{m.stem} asks for __name__, and is not the last in {stem}")

    def _key(self, m, node, name):
        """What a name means; None: it is a builtin."""
        if name in m.ours:
            of, inner = m.ours[name]
            if inner is None and not isinstance(node, ast.Attribute):
                m.refuse(node, "a module is used as a value")
            return self._origin(m, node, of, inner or node.attr)
        if name not in m.top and name not in m.outside and name not in KNOWN:
            m.refuse(node, "an unknown name")
        return (m.stem, name) if name in m.top else m.outside.get(name)

    def _origin(self, m, node, of, name):
        there = self._all[of]
        if name in there.ours:
            return self._origin(m, node, *there.ours[name])
        if name not in there.top and name not in there.outside:
            m.refuse(node, f"{of} has no {name}")
        return there.outside.get(name, (of, name))

    def here(self, key):
        return self._where.get(key[0], self.stem) == self.stem

    def changing(self):
        """Keys that are set while the code runs."""
        found = {(m.stem, name) for m in self.modules for name in m.rebound}
        for m, node, _, _, key in self.uses:
            if isinstance(node, ast.Attribute) and not is_load(node):
                if self.here(key):
                    m.refuse(node, "set from another module of the same file")
                found.add(key)
        return found

    def name(self, keys, wanted):
        """Names for these keys, each as it is wanted ({key: name}) if that is free."""
        builtin = {name for _, _, name, _, key in self.uses if key is None}
        local = {}
        for *_, names, key in self.uses:
            local.setdefault(key, set()).update(names)
        for key in keys:
            plain = wanted.get(key, key[1].split()[-1])
            longer = f"{plain}_{key[0] or 'import'}"
            longer = longer.upper() if plain.isupper() else longer
            taken = builtin | local.get(key, set()) | set(self.names.values())
            free = [name for name in (plain, longer) if name not in taken]
            if not free or (key in wanted and free[0] != wanted[key] and self.here(key)):
                raise Refused(f"{self.stem}: {key[0]} has {key[1]}, which is the name of more")
            self.names[key] = free[0]

    def text(self, files, changing):
        """files: {stem: Bundle}; changing: keys that are set while the code runs."""
        edits = {m.stem: list(m.edits) for m in self.modules}
        imports, expected = {}, []
        for m, node, name, _, key in self.uses:
            new = self.names.get(key, name)
            if key and not key[0]:
                imports[as_name(key[1], new)] = None
            elif key and not self.here(key):
                of = files[self._where[key[0]]]
                if key not in changing:
                    imports[as_name(f"from swdist.{of.stem} import {of.names[key]}", new)] = None
                elif isinstance(node, ast.Attribute):
                    imports[f"from swdist import {of.stem}"] = None
                    expected.append(of.stem)
                    edits[m.stem].append((node, f"{of.stem}.{of.names[key]}"))
                    continue
                else:
                    m.refuse(node, "is set elsewhere, and taken by value here")
            expected.append(new)
            if id(node) in m.assigned:
                statement, other = m.assigned[id(node)]
                expected.append(self.names[other])
                edits[m.stem].append((statement, f"{new} = {self.names[other]}"))
            elif isinstance(node, ast.alias):
                edits[m.stem].append((node, as_name(node.name, new)))
            else:
                edits[m.stem].append((node, new))
        body = "".join(f"{edited(m.text, edits[m.stem])}\n" for m in self.modules)
        found = [name for _, name, _ in Names(self.stem, body, {}, self._apart).uses]
        for is_, ought in zip_longest(found, expected):
            if is_ != ought:
                raise Refused(f"{self.stem}: for the global name {ought} it would be {is_}")
        return "\n".join([*imports, body])


def reached(stem, modules):
    """Modules that are loaded for this one, in order; itself is the last."""
    order = []

    def visit(stem, way):
        if stem in way:
            raise Refused(f"imports in a circle: {' '.join([*way, stem])}")
        if stem not in order and stem in modules:
            for other in sorted(modules[stem].asks):
                visit(other, [*way, stem])
            order.append(stem)

    visit(stem, [])
    return order


def planned(texts, apart=()):
    """{stem: Bundle} of {module: source}; apart: modules of other packages."""
    modules = {stem: Names(stem, text, texts, apart) for stem, text in texts.items()}
    users = {stem: [] for stem in modules}
    for process in PROCESSES:
        for stem in reached(process, modules):
            users[stem].append(process)
    where = {s: s if s in apart else u[0] if len(u) == 1 else "core" for s, u in users.items()}
    where["__init__"] = "__init__"
    members = {}
    for stem in dict.fromkeys(s for last in modules for s in reached(last, modules)):
        members.setdefault(where[stem], []).append(modules[stem])
    files = {f: Bundle(f, members[f], modules, where, apart) for f in members}
    alone = [files[f] for f in apart if f in files]
    asked = {key for b in alone for key in b.keys if key[0] and not b.here(key)}
    for b in files.values():
        own = sorted(filter(b.here, b.keys), key=lambda key: key not in asked)
        b.name(own, {key: key[1] for key in own if key in asked})
    for b in files.values():
        others = [key for key in b.keys if not b.here(key)]
        b.name(others, {key: files[where[key[0]]].names[key] for key in others})
    return files


def bundled(texts, apart=()):
    """{file: source}."""
    files = planned(texts, apart)
    changing = set().union(*(b.changing() for b in files.values()))
    return {f: b.text(files, changing) for f, b in files.items()}
