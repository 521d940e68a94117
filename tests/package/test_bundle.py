"""tools/ipk_bundle.py: modules that stand in one file mean what they meant alone.

Those of swdist itself are tried in test_const.py, by the device tests.
"""

import ast
import sys
import types

import pytest
from packing import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import ipk_bundle
import ipk_const

NETD = "from swdist import a, b\n\n\ndef main():\n    return a.f(1), b.f(1)\n"
BOTH = {
    "netd": NETD,
    "switchd": "from swdist import a, b\nx = a.f, b.f\n",
}


def loaded(texts, apart=()):
    """{file: module} as Python runs them."""
    out = ipk_bundle.bundled(texts, apart)
    kept = {name: m for name, m in sys.modules.items() if name.split(".")[0] == "swdist"}
    package = types.ModuleType("swdist")
    found = {}
    for name in kept:
        del sys.modules[name]
    sys.modules["swdist"] = package
    try:
        for file in sorted(out, key=lambda f: (f in apart, f != "core")):
            module = types.ModuleType("swdist." + file)
            sys.modules["swdist." + file] = found[file] = module
            setattr(package, file, module)
            exec(out[file], module.__dict__)
    finally:
        for name in [n for n in sys.modules if n.split(".")[0] == "swdist"]:
            del sys.modules[name]
        sys.modules.update(kept)
    return found


def test_what_more_than_one_process_loads_is_core_and_the_rest_is_that_of_one():
    texts = {
        "netd": "from swdist import a, own\nx = a.y, own.z\n",
        "switchd": "from swdist.a import y\nz = y\n",
        "tool": "from swdist.told import z\nx = z\n",
        "own": "z = 2\n",
        "told": "from swdist import own\nz = own.z\n",
        "a": "y = 1\n",
        "sntp": "from swdist.own import z\nx = z\n",
    }
    assert set(ipk_bundle.bundled(texts, ("tool", "told"))) == {
        "netd",
        "switchd",
        "tool",
        "told",
        "core",
    }
    modules = loaded(texts, ("sntp", "tool", "told"))
    assert modules["netd"].x == (1, 2) and modules["core"].z == 2
    assert modules["sntp"].x == modules["told"].z == 2


def test_names_that_two_modules_have_are_told_apart():
    a = "LIMIT = 1\n\n\ndef f(x):\n    return LIMIT + x\n"
    b = "LIMIT = 10\n\n\ndef f(LIMIT):\n    f = LIMIT\n    return [f + x for x in (1,)], g()\n\n\n"
    b += "def g():\n    return LIMIT\n"
    netd = loaded({**BOTH, "a": a, "b": b})["netd"]
    assert netd.main() == (2, ([2], 10))


def test_local_name_does_not_hide_what_a_module_is_asked_for():
    a = "def size():\n    return 1\n"
    netd = "from swdist import a\n\n\ndef main(size):\n"
    netd += "    return size, a.size(), [a.size() for size in (5,)]\n"
    assert loaded({"netd": netd, "a": a})["netd"].main(7) == (7, 1, [1])


def test_builtin_of_one_module_stays_one_where_another_has_its_name():
    a = "def open(x):\n    return x\n\n\ndef f(x):\n    return open(x)\n"
    b = "def f(x):\n    return open\n"
    assert loaded({**BOTH, "a": a, "b": b})["netd"].main() == (1, open)


def test_class_body_and_its_methods_see_what_they_saw():
    a = "n = 1\n\n\nclass A:\n    n = n + 1\n    m = n\n\n    def f(self):\n        return n\n\n\n"
    a += "def f(x):\n    return A.m, A().f()\n"
    assert loaded({**BOTH, "a": a, "b": "n = 9\n\n\ndef f(x):\n    return n\n"})["netd"].main() == (
        (2, 1),
        9,
    )


def test_what_is_set_while_the_code_runs_is_seen_in_each_file():
    a = "state = 0\n\n\ndef f(x):\n    global state\n    state += x\n    return state\n"
    netd = "from swdist import a\n\n\ndef main():\n    a.f(2)\n    a.state += 5\n"
    netd += "    return a.state, a.f(0)\n"
    switchd = "from swdist import a\nx = a.f\n"
    assert loaded({"netd": netd, "switchd": switchd, "a": a})["netd"].main() == (7, 7)


def test_import_that_is_one_of_two_meanings_is_an_assignment():
    a = "import sys\n\nif hasattr(sys, 'nothing'):\n\n    def f(x):\n        return 0\n\n"
    a += "else:\n    from swdist.b import f\n"
    assert loaded({**BOTH, "a": a, "b": "def f(x):\n    return x\n"})["netd"].main() == (1, 1)


def test_imports_of_others_come_once_and_under_another_name_where_they_must():
    a = "from struct import pack\n\n\ndef f(x):\n    return pack('b', x)\n"
    b = "import os\n\n\ndef pack(x):\n    return os.sep\n\n\n"
    b += "def f(x):\n    import json\n\n    return pack(json.dumps(x))\n"
    assert loaded({**BOTH, "a": a, "b": b})["netd"].main() == (b"\x01", "/")


@pytest.mark.parametrize(
    "a",
    [
        "from os import *\n",
        "import swdist.b\n",
        "from swdist import b\n\nx = b\n",  # a module as a value
        "from swdist import b\n\nx = getattr(b, 'f')\n",
        "from swdist import b\n\nx = b.missing\n",
        "from swdist import b\n\nb.f = 1\n",
        "x = globals()\n",
        "x = nowhere\n",
        "def f():\n    global x, y\n    x = y = 1\n",
        "def f(x):\n    if x:\n        global y\n        y = 1\n",
        "x = [y := 1]\n",
        "if __name__ == '__main__':\n    pass\n",  # it is not the last
        "def f(x):\n    from swdist import b\n\n    b = 1\n    return b\n",
    ],
)
def test_what_the_bundler_does_not_understand_is_refused(a):
    with pytest.raises(ipk_bundle.Refused):
        ipk_bundle.bundled({**BOTH, "a": a + "\n\ndef f(x):\n    return x\n" * ("def f" not in a),
                            "b": "def f(x):\n    return x\n"})  # fmt: skip


def test_value_that_changes_is_not_taken_by_value_from_another_file():
    a = "state = 0\n\n\ndef f(x):\n    global state\n    state = x\n"
    netd = "from swdist.a import state\nprint(state)\n"
    with pytest.raises(ipk_bundle.Refused, match="taken by value"):
        ipk_bundle.bundled({"netd": netd, "switchd": "from swdist.a import f\nf(1)\n", "a": a})


def test_imports_in_a_circle_are_refused():
    texts = {"a": "from swdist import b\n\nf = b.g\n", "b": "from swdist import a\n\nf = g = a.f\n"}
    with pytest.raises(ipk_bundle.Refused, match="circle: netd a b a"):
        ipk_bundle.bundled({**BOTH, **texts})


def test_name_that_another_package_asks_for_stays_or_is_refused():
    a, b = "def f(x):\n    return 'a'\n", "def f(x):\n    return 'b'\n"
    sntp = "from swdist.b import f\nx = f\n"
    both = "from swdist.a import f as g\ny = g\n"
    assert (
        "import f\n"
        in ipk_bundle.bundled({**BOTH, "a": a, "b": b, "sntp": sntp}, ("sntp",))["sntp"]
    )
    with pytest.raises(ipk_bundle.Refused, match="the name of more"):
        ipk_bundle.bundled({**BOTH, "a": a, "b": b, "sntp": sntp + both},
                           ("sntp",))  # fmt: skip


def test_modules_of_swdist_and_their_files_have_the_same_constants_and_functions():
    """Nothing is lost, and nothing stands twice."""

    def defined(texts):
        trees = [n for text in texts.values() for n in ast.walk(ast.parse(text))]
        return sum(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in trees)

    assert defined(ipk_const.files()) == defined(ipk_const.source())
