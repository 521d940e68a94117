"""The harness for device tests: what fails on a device interpreter is seen to fail here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
INTERPRETERS = ("cpython", "micropython", "micropython-noffi")

SAMPLE = """
import sys
MICROPYTHON = sys.implementation.name == "micropython"
try:
    import ffi
except ImportError:
    ffi = None

def test_good():
    print("noise")

def test_bad():
    print("ok test_other")
    assert 1 + 1 == 3

def test_bad_on_micropython():
    assert not MICROPYTHON

def test_bad_without_ffi():
    assert not MICROPYTHON or ffi

def test_exits():
    sys.exit(0)

def test_returns_what_was_never_run():
    yield 1
"""


def run_pytest(folder, source, *arguments, before=""):
    """Runs pytest on a device test file of this content; (exit status, output)."""
    file = folder / "device" / "test_sample.py"
    file.parent.mkdir()
    file.write_text(source)
    start = (
        "import sys; from pathlib import Path; import conftest, interpreters, pytest\n"
        f"{before}\n"
        "sys.exit(pytest.main(sys.argv[1:], plugins=[conftest]))"
    )
    options = ["-rA", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", folder]
    done = subprocess.run(
        [sys.executable, "-c", start, *options, *arguments, file],
        cwd=TESTS,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


def outcomes(output):
    """{test: PASSED or FAILED} from pytest's short summary."""
    found = {}
    for line in output.splitlines():
        outcome, _, rest = line.partition(" ")
        if outcome in ("PASSED", "FAILED", "SKIPPED") and "::" in rest:
            found[rest.split("::")[1].split(" ")[0]] = outcome
    return found


def test_each_interpreter_reports_its_own_failures(tmp_path):
    status, output = run_pytest(tmp_path, SAMPLE)
    expected = {}
    for name in INTERPRETERS:
        bad = {"test_bad", "test_exits", "test_returns_what_was_never_run"}
        if name != "cpython":
            bad.add("test_bad_on_micropython")
        if name == "micropython-noffi":
            bad.add("test_bad_without_ffi")
        for test in bad | {"test_good", "test_bad_on_micropython", "test_bad_without_ffi"}:
            expected[f"{test}[{name}]"] = "FAILED" if test in bad else "PASSED"
    assert outcomes(output) == expected
    assert status == 1
    assert "AssertionError" in output


def test_selected_tests_run_alone(tmp_path):
    status, output = run_pytest(tmp_path, SAMPLE, "-k", "test_good and micropython and not noffi")
    assert outcomes(output) == {"test_good[micropython]": "PASSED"}
    assert status == 0


@pytest.mark.parametrize(
    "source",
    [
        "import nothing_of_this_name\ndef test_x(): pass",
        "import sys\ndef test_x(): pass\nsys.exit(0)",
        "import sys\ndef test_x():\n    for i in range(10**12): pass",
    ],
    ids=["import fails", "import exits", "endless"],
)
def test_file_that_does_not_finish_fails(tmp_path, source):
    status, output = run_pytest(tmp_path, source, before="conftest.LIMIT_S = 1")
    assert outcomes(output) == {f"test_x[{name}]": "FAILED" for name in INTERPRETERS}
    assert status == 1


@pytest.mark.parametrize(
    "source",
    [
        "",
        "def test_(:",
        "async def test_x(): pass\nasync def test_x(): pass",
        "class TestX:\n    def test_x(self): pass",
        "if True:\n    def test_x(): pass",
        "def test_x(): pass\ndef test_x(): pass",
    ],
    ids=["empty", "syntax", "twice", "class", "not at top level", "same name"],
)
def test_file_whose_tests_would_not_run_is_an_error(tmp_path, source):
    status, output = run_pytest(tmp_path, source)
    assert status == 2, output
    assert outcomes(output) == {}


def test_missing_runtime_is_a_failure_that_says_what_to_do(tmp_path):
    status, output = run_pytest(
        tmp_path, "def test_x(): pass", before="interpreters.BIN = Path('/nonexistent')"
    )
    assert outcomes(output) == {
        "test_x[cpython]": "PASSED",
        "test_x[micropython]": "FAILED",
        "test_x[micropython-noffi]": "FAILED",
    }
    assert status == 1
    assert "`make runtime` builds it" in output


def test_file_without_tests_has_a_status_of_its_own(tmp_path):
    (tmp_path / "test_none.py").write_text("")
    runner = [sys.executable, str(TESTS / "run_device.py")]
    done = subprocess.run([*runner, str(tmp_path / "test_none.py")], capture_output=True)
    assert done.returncode == 2
