"""tools/ipk_const.py: the packaged modules do what the source does."""

import os
import re
import subprocess
import sys

import pytest
from packing import ROOT
from router import BIN

sys.path.insert(0, str(ROOT / "tools"))
import ipk_const

DEVICE_TESTS = sorted((ROOT / "tests/device").glob("test_*.py"))
# They look at or set what the compiler has put in its place.
LEFT_OUT = {
    "test_constants_are_those_of_rfc_8032",
    "test_endless_supply_of_unknown_releases_is_paced",
    "test_operators_hooks_run_in_order_after_the_slots_own_and_have_a_say",
    "test_hook_gets_the_slots_path_and_its_time_limit_holds",
    "test_files_are_bounded_in_number_and_in_all_by_the_archives_size",
}


def changed(**texts):
    return ipk_const.constants(texts)


def test_number_of_one_module_is_forgotten():
    out = changed(a="LIMIT = 5  # why\n\n\ndef f(n):\n    return n < LIMIT\n")["a"]
    assert out == "_LIMIT = const(5)\n\n\ndef f(n):\n    return n < _LIMIT\n"


def test_text_and_hexadecimal_number_and_private_name():
    out = changed(a='_FORM = "!HI"\nMASK = 0xFF\nprint(_FORM, MASK)\n')["a"]
    assert out == '_FORM = const("!HI")\n_MASK = const(0xFF)\nprint(_FORM, _MASK)\n'


def test_name_that_another_module_knows_stays():
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


def test_private_names_become_short_ones_the_same_in_all_modules():
    a = "def _send_it(x):\n    return x._port_of + __name__\n"
    b = "import a\na._send_it(a._port_of) + a._send_it(_q)\n"
    names = ipk_const.short_names({"a": a, "b": b})
    assert names == {"_send_it": "_a", "_port_of": "_b"}
    assert ipk_const.renamed(a, names) == "def _a(x):\n    return x._b + __name__\n"
    assert ipk_const.renamed(b, names) == "import a\na._a(a._b) + a._a(_q)\n"


def test_arguments_get_one_letter_that_is_new_to_the_whole_function():
    text = "def f(first, b, second=a):\n    return lambda c: first + b + c.first(second)\n"
    short = "def f(d, b, e=a):\n    return lambda c: d + b + c.first(e)\n"
    assert ipk_const.short_arguments(text, set()) == short
    text = "class A:\n    def f(self, x1):\n        self.x1 = 'x1', x1\n"
    short = "class A:\n    def f(a, b):\n        a.x1 = 'x1', b\n"
    assert ipk_const.short_arguments(text, set()) == short


def test_an_argument_that_is_given_by_name_stays():
    assert ipk_const.keywords(["f(1, port=2)\n", "g(x)\n"]) == {"port"}
    text = "def f(peer, port):\n    return peer + port\n"
    short = "def f(a, port):\n    return a + port\n"
    assert ipk_const.short_arguments(text, {"port"}) == short


def test_texts_and_comments_keep_their_words():
    text = 'LIMIT = 5\nprint("LIMIT", LIMIT)  # LIMIT\n'
    assert changed(a=text)["a"] == '_LIMIT = const(5)\nprint("LIMIT", _LIMIT)  # LIMIT\n'


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The modules as they are packed, with the names that tests ask for."""
    folder = tmp_path_factory.mktemp("const")
    (folder / "swdist").mkdir()
    (folder / "tests").mkdir()
    (folder / "vectors").symlink_to(ROOT / "tests/vectors")
    short = ipk_const.short_names(ipk_const.source())
    for path in (ROOT / "tests/device").glob("*.py"):  # which know some private names
        (folder / "tests" / path.name).write_text(ipk_const.renamed(path.read_text(), short))
    for stem, text in ipk_const.device().items():
        head, main, rest = text.partition("\nif __name__ ==")
        forgotten = re.findall(r"(?m)^_([A-Z]\w*) = const\(", text)
        names = [name for name in forgotten if not re.search(rf"\b{name}\b", text)]
        head += "".join(f"\n{name} = _{name}" for name in names) + "\n"
        (folder / "swdist" / f"{stem}.py").write_text(head + main + rest)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", DEVICE_TESTS, ids=lambda path: path.stem)
def test_device_tests_pass_on_packed_modules(source, path, tmp_path):
    names = set(re.findall(r"^def (test_\w+)", path.read_text(), re.M)) - LEFT_OUT
    folders = [str(source), str(source / "tests"), str(ROOT / "tests")]
    done = subprocess.run(
        [
            BIN / "micropython",
            "-X",
            "heapsize=2M",
            ROOT / "tests/run_device.py",
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
