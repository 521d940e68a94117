"""tools/runtime.py: where it gets the source from, by the host's apt configuration in both formats,
and what it takes for a runtime."""

import importlib.util
from pathlib import Path

TOOL = Path(__file__).resolve().parent.parent / "tools/runtime.py"
spec = importlib.util.spec_from_file_location("runtime", TOOL)
runtime = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runtime)

DEB822 = """# a comment
Types: deb
# another
URIs: mirror:/a
 mirror:/b
Suites: bookworm bookworm-updates
Components: main
Signed-By: /k.gpg

Types: deb
URIs: mirror:/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: mirror:/off
Suites: bookworm
Components: main

Types: deb
URIs: mirror:/other
Suites: bookworm
Components: stable
"""
ONE_LINE = """deb [signed-by=/k.gpg arch=amd64] mirror:/a bookworm main contrib # note
deb-src mirror:/b stable main
# deb mirror:/c bookworm main
deb cdrom:[x]/ bookworm main
deb mirror:/security bookworm-security main
"""


def derive(tmp_path, name, text, suite):
    apt, into = tmp_path / "apt", tmp_path / "into"
    (apt / "sources.list.d").mkdir(parents=True)
    into.mkdir()
    (apt / name).write_text(text)
    (apt / (name + ".disabled")).write_text(text)
    names, _ = runtime.suites({"VERSION_CODENAME": "bookworm"})
    count = runtime.write_sources(apt, into, names, suite)
    return count, "".join(file.read_text() for file in sorted(into.iterdir()))


def test_deb822_keeps_key_and_archive_and_changes_type_and_suite(tmp_path):
    count, text = derive(tmp_path, "sources.list.d/debian.sources", DEB822, "trixie")
    assert count == 1
    assert sorted(text.split("\n")) == sorted(
        ["Types: deb-src", "Uris: mirror:/a", " mirror:/b", "Suites: trixie", "Components: main"]
        + ["Signed-By: /k.gpg", ""]
    )


def test_one_line_format_keeps_options_and_changes_type_and_suite(tmp_path):
    count, text = derive(tmp_path, "sources.list", ONE_LINE, "trixie")
    assert count == 2
    assert text.split("\n") == [
        "deb-src [signed-by=/k.gpg arch=amd64] mirror:/a trixie main contrib",
        "",
        "deb-src mirror:/b trixie main",
        "",
    ]


def test_host_that_has_the_package_uses_its_own_suite(tmp_path):
    _, text = derive(tmp_path, "sources.list", "deb mirror:/a stable main\n", None)
    assert text == "deb-src mirror:/a stable main\n"
    assert runtime.suites({"VERSION_CODENAME": "trixie"})[1] is None
    assert runtime.suites({"VERSION_CODENAME": "bookworm"})[1] == "trixie"


def test_runtime_in_the_cache_is_known_in_a_clone_that_has_none_yet(tmp_path, monkeypatch):
    """Else each new clone would build it again."""
    program = (runtime.BIN / "micropython").resolve()
    monkeypatch.setattr(runtime, "BIN", tmp_path / "bin")
    assert runtime.features(program)
