"""tools/ipk_const.py: the packaged modules do what the source does."""

import ast
import os
import re
import subprocess
import sys

import pytest
from packing import ROOT
from router import BIN

sys.path.insert(0, str(ROOT / "tools"))
import ipk
import ipk_bundle
import ipk_const

DEVICE_TESTS = sorted((ROOT / "tests/device").glob("test_*.py"))
# They look at or set what the compiler or the bundler has put in its place.
LEFT_OUT = {
    "test_constants_are_those_of_rfc_8032",
    "test_endless_supply_of_unknown_releases_is_paced",
    "test_operators_hooks_run_in_order_after_the_slots_own_and_have_a_say",
    "test_hook_gets_the_slots_path_and_its_time_limit_holds",
    "test_script_is_told_all_it_needs_and_its_last_word_is_the_reason",
    "test_script_that_says_nothing_and_one_that_is_missing_have_a_reason_too",
    "test_index_that_the_network_side_has_changed_is_not_used",
    "test_files_are_bounded_in_number_and_in_all_by_the_archives_size",
    "test_image_that_is_packed_is_not_flashed",
    "test_where_there_is_apk_its_script_is_called_for_whatever_is_active",
    "test_script_that_sysupgrade_has_ended_gives_no_verdict_whatever_was_said_before",
    "test_fallback_link_is_brought_up_and_down_by_the_operators_hooks",
    "test_what_a_life_left_up_is_brought_down_at_the_next_start_and_at_the_end",
    "test_start_and_stop_bring_it_down",
    "test_hooks_of_the_fallback_link_that_fail_or_hang_are_named_and_left",
    "test_no_hook_of_the_fallback_link_begins_in_the_quiet_before_a_switch",
}


def changed(**texts):
    return ipk_const.constants(texts)


def test_number_of_one_module_is_forgotten():
    out = changed(a="LIMIT = 5  # why\n\n\ndef f(n):\n    return n < LIMIT\n")["a"]
    assert out == "_LIMIT = const(5)\n\n\ndef f(n):\n    return n < _LIMIT\n"


def test_text_and_hexadecimal_number_and_private_name():
    out = changed(a='_FORM = "!HI"\nMASK = 0xFF\nprint(_FORM, MASK)\n')["a"]
    assert out == '_FORM = const("!HI")\n_MASK = const(0xFF)\nprint(_FORM, _MASK)\n'


def test_negative_number_and_bytes():
    out = changed(a='REFUSED = -1\nBUSY = b"busy"\nprint(REFUSED, BUSY)\n')["a"]
    assert out == '_REFUSED = const(-1)\n_BUSY = const(b"busy")\nprint(_REFUSED, _BUSY)\n'


def test_what_is_for_cpython_is_left_out():
    which = 'import sys\nMICROPYTHON = sys.implementation.name == "micropython"\n'
    text = which + (
        "def f(x):\n    if MICROPYTHON:\n        return 1\n    y = 2\n    return y\n"
        "def g(x):\n    if MICROPYTHON:\n        x = 3\n    return x if MICROPYTHON else f(x)\n"
        "def h(x):\n    if x:\n        return 1\n    return 2\n"
    )
    names = {"const": lambda value: value}
    exec(changed(a=text)["a"], names)
    assert [names[f](5) for f in "fgh"] == [1, 3, 1]
    assert "y" not in names["f"].__code__.co_varnames
    assert "f" not in names["g"].__code__.co_names
    assert names["h"](0) == 2


def test_constant_of_another_module_becomes_one_s_own():
    a = "PORT = 1\nprint(PORT)\n"
    own = "_PORT = const(1)\nprint(_PORT)\n"
    b = '"""B."""\nfrom swdist.a import PORT, f\n\nf(PORT)\n'
    out = '"""B."""\nfrom swdist.a import f\n\n_PORT = const(1)\nf(_PORT)\n'
    assert changed(a=a, b=b) == {"a": own, "b": out}
    b = '"""B."""\nfrom swdist import a\n\na.f(a.PORT)\n'
    out = '"""B."""\nfrom swdist import a\n\n_A_PORT = const(1)\na.f(_A_PORT)\n'
    assert changed(a=a, b=b) == {"a": own, "b": out}


def test_name_that_is_asked_for_in_another_way_stays():
    out = changed(a="PORT = 1\nprint(PORT)\n", b="from a import PORT\n")
    assert out == {"a": "PORT = const(1)\nprint(PORT)\n", "b": "from a import PORT\n"}
    assert changed(a="PORT = 1\n", b="import a\na.PORT\n")["a"] == "PORT = const(1)\n"


@pytest.mark.parametrize(
    "text",
    [
        "LIMIT = 5\nLIMIT = 6\n",  # changes
        "LIMIT = 5\nf(LIMIT=3)\n",  # an argument too
        "LIMIT = 2 * 3\n",  # no plain number
        "class A:\n    LIMIT = 5\n",
        'TEXT = "a\\\\n"\n',
    ],
)
def test_what_may_be_more_than_a_constant_stays_as_it_is(text):
    assert changed(a=text)["a"] == text


def test_name_that_is_an_attribute_too_is_not_changed():
    text = "LIMIT = 5\nx.LIMIT\n"
    assert changed(a=text)["a"] == "LIMIT = const(5)\nx.LIMIT\n"
    text = "LIMIT = 5\n_LIMIT = [LIMIT]\n"
    assert changed(a=text)["a"] == "LIMIT = const(5)\n_LIMIT = [LIMIT]\n"


def test_names_of_the_code_s_own_become_short_ones_the_same_in_all_modules():
    a = "class Thing:\n    def send_it(x):\n        return x._port + __name__ + x.send_it\n"
    b = "import a\na.Thing(z.send_it)\nz._port = A\n"
    names = ipk_const.short_names({"a": a, "b": b})
    assert names == {"Thing": "B", "send_it": "C", "_port": "D"}  # A is there
    short = "class B:\n    def C(x):\n        return x.D + __name__ + x.C\n"
    assert ipk_const.renamed(a, names) == short
    assert ipk_const.renamed(b, names) == "import a\na.B(z.C)\nz.D = A\n"


def test_private_attributes_of_one_module_are_letters_the_same_in_each():
    a = "self._first = self._second = self._shared = 1\n"
    b = "x._shared = x._mine = theirs._other = _mine2 = 1\nx._mine2 = 2\n"
    assert ipk_const.own_attributes({"a": a, "b": b}) == {
        "a": {"_first": "a", "_second": "b"},
        "b": {"_mine": "a", "_other": "b"},
    }
    assert ipk_const.own_attributes({"a": "print(theirs._other)\n"}) == {"a": {}}


def test_no_class_inherits_from_one_of_another_module():
    for stem, text in ipk_const.source().items():
        classes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ClassDef)]
        for base in [base for n in classes for base in n.bases]:
            assert ast.unparse(base) in {"Exception", *(n.name for n in classes)}, stem


@pytest.mark.parametrize(
    "texts",
    [
        {"a": "print(somebodys.name_of_theirs)\n"},
        {"a": "def name_of_mine():\n    pass\n\n\nsetattr(x, 'name_of_mine', 1)\n"},
        {"a": "def name_of_mine():\n    pass\n", "tool": "import a\na.name_of_mine()\n"},
        {"a": "x.clock = 1\n", "clock": ""},
        {"a": "def recv():\n    pass\n"},  # sockets have it, too
        {"a": "_LIMIT = const(5)\n"},
    ],
)
def test_name_that_somebody_else_may_know_stays(texts):
    assert ipk_const.short_names(texts) == {}


def test_runtime_has_none_of_the_names_that_are_changed():
    known = [(BIN / name).read_bytes() for name in ("micropython", "micropython-noffi")]
    names = [n for n in ipk_const.short_names(ipk_const.files()) if not n.startswith("_")]
    assert len(names) > 150
    assert [n for n in names if any(n.encode() + b"\0" in program for program in known)] == []


def test_modules_of_other_packages_are_known():
    assert set(ipk_const.APART) == {s for _, stems, *_ in ipk.OPTIONAL.values() for s in stems}


def test_arguments_are_a_b_c_and_other_local_names_give_way():
    text = "def f(first, b, second=c):\n    return lambda one: a(first + b + one.first(second))\n"
    short = "def f(b, d, e=c):\n    return lambda g: a(b + d + g.first(e))\n"
    assert ipk_const.short_arguments(text, set()) == short
    text = "class A:\n    def f(self, x1):\n        a = 'x1'\n        self.x1 = a, x1\n"
    short = "class A:\n    def f(a, b):\n        a_was = 'x1'\n        a.x1 = a_was, b\n"
    assert ipk_const.short_arguments(text, set()) == short
    text = "def f(x, y):\n    global b\n    b = x\n    import c\n    return c(y)\n"
    short = "def f(a, d):\n    global b\n    b = a\n    import c\n    return c(d)\n"
    assert ipk_const.short_arguments(text, set()) == short


def test_an_argument_that_is_given_by_name_stays():
    assert ipk_const.keywords(["f(1, port=2)\n", "g(x)\n"]) == {"port"}
    text = "def f(peer, port):\n    return peer + port\n"
    short = "def f(a, port):\n    return a + port\n"
    assert ipk_const.short_arguments(text, {"port"}) == short


def test_argument_that_is_given_by_name_and_is_an_attribute_too_has_one_short_name(monkeypatch):
    a = "class Room:\n    def __init__(self, memory):\n        self.memory = memory\n"
    texts = {"a": a, "b": "from swdist.a import Room\n\nRoom(memory=1)\n"}
    monkeypatch.setattr(ipk_const, "source", lambda: texts)
    out = ipk_const.device()["core"]
    assert out.split() == "class A: def __init__(a, B): a.B = B A(B=1)".split()


def test_texts_and_comments_keep_their_words():
    text = 'LIMIT = 5\nprint("LIMIT", LIMIT)  # LIMIT\n'
    assert changed(a=text)["a"] == '_LIMIT = const(5)\nprint("LIMIT", _LIMIT)  # LIMIT\n'


# Under a module's name its part of a file that holds several, with the names that tests ask for.
PART = """

import sys

def _part(module, file, names):
    def there(name):
        if name not in names:
            raise AttributeError(name)
        __import__("swdist." + file)
        return sys.modules["swdist." + file], names[name]

    class Part:
        def __getattr__(self, name):
            return getattr(*there(name))

        def __setattr__(self, name, value):
            real = getattr(*there(name))
            setattr(*there(name), value)
            if callable(real):  # other files have it by value
                for one, packed in list(sys.modules.items()):
                    if one.startswith("swdist.") and not isinstance(packed, Part):
                        for own in dir(packed):
                            if getattr(packed, own) is real:
                                setattr(packed, own, value)

    sys.modules["swdist." + module] = globals()[module] = Part()

"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The files as they are packed, and beside each constant a name that lasts."""
    folder = tmp_path_factory.mktemp("const")
    (folder / "swdist").mkdir()
    (folder / "tests").mkdir()
    (folder / "vectors").symlink_to(ROOT / "tests/vectors")
    texts = ipk_const.files()
    short = ipk_const.short_names(texts)
    asked = dict(short)
    for names in ipk_const.own_attributes(ipk_const.source()).values():
        asked.update(names)
    theirs = {name: name + "_was" for name in short.values()}
    for path in [*ROOT.glob("tests/*.py"), *ROOT.glob("tests/device/*.py")]:
        text = ipk_const.renamed(ipk_const.flat(path.read_text()), theirs)
        text = ipk_const.renamed(text, asked)
        (folder / "tests" / path.name).write_text(text)
    packed = ipk_const.device()
    parts = ""
    for stem, bundle in ipk_bundle.planned(ipk_const.lettered(), ipk_const.APART).items():
        head, main, rest = packed[stem].partition("\nif __name__ ==")
        found = {}
        for m in bundle.modules:
            found[m.stem] = {}
            of = {**{name: (m.stem, name) for name in m.top}, **m.ours}
            for name, key in of.items():
                new = bundle.names.get(key)
                if key[1] is None:
                    head += f"\nfrom swdist import {asked.get(key[0], key[0])} as part_{key[0]}"
                    found[m.stem][asked.get(name, name)] = f"part_{key[0]}"
                elif new:
                    new = short.get(new, new)
                    if new[0] == "_" and f"\n{new} = const(" in head:
                        name = name if name.lstrip("_") in of else name.lstrip("_")
                        head += f"\nlasting{new} = {new}"
                        new = "lasting" + new
                    found[m.stem][asked.get(name, name)] = new
        for name, new in found.pop(stem, {}).items():
            there = re.search(rf"(?m)^{name} = |^from .* import (.* as )?{name}$", head)
            head += f"\n{name} = {new}" * (there is None)
        (folder / "swdist" / f"{stem}.py").write_text(f"{head}\n{main}{rest}")
        for module, names in found.items():
            parts += f"_part({asked.get(module, module)!r}, {stem!r}, {names})\n"
    with (folder / "swdist/__init__.py").open("a") as file:
        file.write(PART + parts)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", DEVICE_TESTS, ids=lambda path: path.stem)
def test_device_tests_pass_on_packed_modules(source, path, tmp_path):
    names = set(re.findall(r"^def (test_\w+)", path.read_text(), re.M)) - LEFT_OUT
    folders = [str(source), str(source / "tests")]
    done = subprocess.run(
        [
            BIN / "micropython",
            "-X",
            "heapsize=3M",  # compiled here, and both processes' code in one
            source / "tests/run_device.py",
            source / "tests" / path.name,
            *names,
        ],
        cwd=tmp_path,
        env={**os.environ, "MICROPYPATH": ":".join([".frozen", *folders])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = {line[3:] for line in done.stdout.splitlines() if line.startswith("ok ")}
    assert done.returncode == 0 and said == names, done.stdout
