"""Where the global names of a module stand, by Python's rules of scopes: what the bundler asks.

Statements that it does not know, or whose names nobody can follow, it refuses.
"""

import ast
import builtins
from types import SimpleNamespace

FUNCTIONS = (ast.FunctionDef, ast.Lambda)
LOOPS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
BLIND = {"globals", "locals", "vars", "dir", "eval", "exec", "__import__"}  # look past names
KNOWN = (set(dir(builtins)) | {"const", "__name__"}) - BLIND


class Refused(Exception):
    pass


def is_load(node):
    return isinstance(getattr(node, "ctx", None), ast.Load)


def origin(node):
    """The module that an import asks."""
    return getattr(node, "module", None) or node.names[0].name


def is_ours(node):
    return origin(node).split(".")[0] == "swdist"


def named(keyword, node, name):
    """The place of a name that stands behind a keyword: `def name`."""
    start = node.col_offset + len(keyword) + 1
    place = {"lineno": node.lineno, "end_lineno": node.lineno, "col_offset": start}
    return SimpleNamespace(**place, end_col_offset=start + len(name))


class Names:
    """A module as the bundler sees it. top: its global names; ours: {name: key} of what it takes
    from our modules, (module, None) for a module; outside: {name: key} of its other imports;
    uses: [(node, name, names that are local there)]; asks: modules; rebound: `global` ones."""

    def __init__(self, stem, text, texts, apart):
        self.stem, self.text, self.tree = stem, text, ast.parse(text)
        self.ours, self.outside, self.uses = {}, {}, []
        self.asks, self.rebound = set(), set()
        self.edits = []  # imports that go: (node, what stands there instead)
        self.assigned = {}  # {id of what is imported: (import, key)}: it is given elsewhere, too
        imports = [n for n in ast.walk(self.tree) if isinstance(n, (ast.Import, ast.ImportFrom))]
        self._gone = {id(n) for n in imports if is_ours(n)}
        for n in imports:
            self._import(n, texts, apart)
        self.top = self._bound(self.tree.body)
        self._walk(self.tree.body, frozenset())
        self.asks |= {self.ours[name][0] for _, name, _ in self.uses if name in self.ours}
        self.asks |= {key[0] for _, key in self.assigned.values()}

    def refuse(self, node, why):
        raise Refused(f"{self.stem}, line {node.lineno}: {why}: {ast.unparse(node)}")

    def _import(self, n, texts, apart):
        of = origin(n).removeprefix("swdist.") if is_ours(n) else None
        found = {}
        for a in n.names:
            found[a.asname or a.name] = (a.name, None) if of == "swdist" else (of, a.name)
        asked = {module for module, _ in found.values()}
        some = asked & set(texts) and not asked <= set(texts)
        if "*" in found or some or isinstance(n, ast.Import) and (of or len(found) > 1):
            self.refuse(n, "a kind of import that the bundler does not know")
        self._gone.discard(id(n))
        if asked & set(apart):
            self.asks |= asked
        elif asked <= set(texts):
            self._take(n, found)
        elif n in self.tree.body:
            self._gone.add(id(n))
            self.edits.append((n, ""))
            for a in n.names:
                alone = ast.ImportFrom(n.module, [a], 0) if isinstance(n, ast.ImportFrom) else n
                self.outside[a.asname or a.name] = "", ast.unparse(alone)

    def _take(self, n, found):
        """An import of ours goes. Where the name is given in another way, too, it is assigned."""
        self._gone.add(id(n))
        inside = any(n in ast.walk(f) for f in ast.walk(self.tree) if isinstance(f, FUNCTIONS))
        names = [m for m in ast.walk(self.tree) if isinstance(m, (ast.Name, *FUNCTIONS))]
        given = set(found) & self._bound(names if inside else self.tree.body)
        for name, key in found.items():
            if self.ours.get(name, key) != key or (given and (len(found) > 1 or inside)):
                self.refuse(n, f"{name} has two meanings")
        if given:
            self._gone.remove(id(n))
            self.assigned[id(n.names[0])] = n, key
        else:
            self.ours.update(found)
            self.edits.append((n, "" if n in self.tree.body else "pass"))

    def _bound(self, nodes):
        """Names that these statements bind in their own scope."""
        found, rest = set(), list(nodes)
        while rest:
            n = rest.pop()
            if isinstance(n, (ast.FunctionDef, ast.ClassDef)):
                found.add(n.name)
            elif not isinstance(n, (ast.Lambda, *LOOPS)) and id(n) not in self._gone:
                if isinstance(n, ast.Name) and not is_load(n):
                    found.add(n.id)
                elif isinstance(n, ast.alias):
                    found.add(n.asname or n.name)
                elif isinstance(n, ast.ExceptHandler) and n.name:
                    found.add(n.name)
                rest += ast.iter_child_nodes(n)
        return found

    def _walk(self, nodes, local, of_class=frozenset()):
        """of_class: names of the class body that this stands in; its methods don't see them."""

        def use(node, name):
            if name not in local | of_class:
                self.uses.append((node, name, local | of_class))

        for n in nodes:
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name):
                is_module = self.ours.get(n.value.id, ("", ""))[1] is None
                use(n if is_module else n.value, n.value.id)
            elif isinstance(n, ast.Name):
                use(n, n.id)
            elif isinstance(n, ast.alias):
                use(n, n.asname or n.name)
            elif isinstance(n, FUNCTIONS):
                if hasattr(n, "name"):
                    use(named("def", n, n.name), n.name)
                outer = [*n.args.defaults, *n.args.kw_defaults, *getattr(n, "decorator_list", [])]
                self._walk([d for d in outer if d], local, of_class)
                body = n.body if isinstance(n.body, list) else [n.body]
                own = {a.arg for a in ast.walk(n.args) if isinstance(a, ast.arg)}
                own |= self._bound(body)
                given = {s.names[0] for s in body if isinstance(s, ast.Global)}
                self.rebound |= given
                self._walk(body, (local | own) - given)
            elif isinstance(n, ast.ClassDef):
                use(named("class", n, n.name), n.name)
                self._walk([*n.bases, *n.decorator_list], local, of_class)
                self._walk(n.body, local, self._bound(n.body))
            elif isinstance(n, LOOPS):
                first, *rest = n.generators
                self._walk([first.iter], local, of_class)
                own = {m.id for g in n.generators for m in ast.walk(g.target) if hasattr(m, "id")}
                values = [m for m in ast.iter_child_nodes(n) if m not in n.generators]
                self._walk([*values, *first.ifs, *rest], local | of_class | own)
            elif isinstance(n, ast.Global):
                if len(n.names) > 1 or n.names[0] in local:
                    self.refuse(n, "one name for each, first in the function")
                use(named("global", n, n.names[0]), n.names[0])
            elif isinstance(n, (ast.NamedExpr, ast.AsyncFunctionDef, ast.Match)):
                self.refuse(n, "a kind of statement that the bundler does not know")
            elif isinstance(n, ast.ExceptHandler) and n.name and not local:
                self.refuse(n, "a global name for an exception")
            elif id(n) not in self._gone:
                self._walk(ast.iter_child_nodes(n), local, of_class)
