"""Collects each tests/device/test_*.py once for CPython and once for each MicroPython.

Device tests are plain functions with bare asserts. One subprocess (tests/run_device.py) runs the
chosen tests of a file on one interpreter; each is an item of its own, such as
tests/device/test_bits.py::test_hex[micropython]. SWDIST_INTERPRETERS=cpython,micropython takes
fewer interpreters. A file that says `SLOW = True` is no part of `make check`.
"""

import ast
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from interpreters import INTERPRETERS, Missing, command
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
# Folders and files of tests that run real daemons against the clock.
BY_THE_CLOCK = """
    mesh ntp interop host/test_two_hosts host/test_seed package/test_boots package/test_full_flash
    package/test_hooks package/test_image_boots package/test_install package/test_kind_apk
    package/test_kind_image package/test_kind_ipk package/test_launcher package/test_museum
    package/test_scripts package/test_self_update reference/test_interop
""".split()
PATIENT = 10  # niceness
LIMIT_S = 120
SLOW_LIMIT_S = 600


class DeviceFailure(Exception):
    """A test failed in its interpreter; the text says how."""


def chosen_interpreters():
    names = [n for n in os.environ.get("SWDIST_INTERPRETERS", "").split(",") if n]
    for name in names:
        if name not in INTERPRETERS:
            raise pytest.UsageError(f"SWDIST_INTERPRETERS: {name!r} is none of {INTERPRETERS}")
    return names or INTERPRETERS


class Run:
    """One subprocess for one file on one interpreter, started by its first item."""

    def __init__(self, path, interpreter, limit_s):
        self.path = path
        self.interpreter = interpreter
        self.limit_s = limit_s
        self.names = []
        self.results = None

    def result(self, name):
        if self.results is None:
            self.results = self.execute()
        return self.results.get(name) or f"{name} did not report\n{self.tail}"

    def execute(self):
        arguments, environment = command(self.interpreter)
        arguments += [str(ROOT / "tests/run_device.py"), str(self.path), *self.names]
        with tempfile.TemporaryDirectory(prefix="swdist-test-") as scratch:
            try:
                done = subprocess.run(
                    arguments,
                    env=environment,
                    cwd=scratch,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=self.limit_s,
                )
                output, end = done.stdout, f"exit status {done.returncode}"
            except subprocess.TimeoutExpired as expired:
                output, end = expired.stdout or b"", f"stopped after {self.limit_s} s"
        lines = output.decode(errors="replace").splitlines()
        self.tail = "\n".join([*lines[-40:], f"[{self.interpreter}: {end}]"])
        results = {}
        current = None
        for line in lines:
            word, _, name = line.partition(" ")
            if word in ("ok", "FAIL") and name in self.names:
                # Also what a test has printed itself belongs to a failure: it comes before.
                current = name if word == "FAIL" else None
                results[name] = "ok" if word == "ok" else f"{name} on {self.interpreter}"
            elif current:
                results[current] += "\n" + line
        return results


class DeviceItem(pytest.Item):
    def __init__(self, *, run, function, **more):
        super().__init__(**more)
        self.run = run
        self.function = function

    def runtest(self):
        result = self.run.result(self.function.name)
        if result != "ok":
            raise DeviceFailure(result)

    def repr_failure(self, excinfo, style=None):
        if excinfo.errisinstance((DeviceFailure, Missing)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, self.function.lineno - 1, self.name


class DeviceFile(pytest.File):
    def collect(self):
        try:
            tree = ast.parse(self.path.read_text(), str(self.path))
        except SyntaxError as error:
            raise self.CollectError(f"{self.path}: {error}") from None
        functions = [node for node in tree.body if is_test(node)]
        names = {function.name for function in functions}
        # What would never run must not look as if it had passed.
        if not functions or len(names) != sum(map(is_test, ast.walk(tree))):
            raise self.CollectError(
                f"{self.path}: test functions are plain `def test_...():`, at top level, "
                "each name once, at least one"
            )
        slow = any(
            isinstance(node, ast.Assign) and ast.unparse(node) == "SLOW = True"
            for node in tree.body
        )
        for interpreter in chosen_interpreters():
            run = Run(self.path, interpreter, SLOW_LIMIT_S if slow else LIMIT_S)
            for function in functions:
                item = DeviceItem.from_parent(
                    self, name=f"{function.name}[{interpreter}]", run=run, function=function
                )
                if slow:
                    item.add_marker("slow")
                yield item


def is_test(node):
    if isinstance(node, ast.ClassDef):
        return node.name.startswith("Test")
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and node.name.startswith("test_")


def pytest_pycollect_makemodule(module_path, parent):
    if module_path.parent.name == "device":
        return DeviceFile.from_parent(parent, path=module_path)
    return None


def by_the_clock(path):
    """`path` from the project's top, such as tests/mesh/test_mesh.py."""
    return any(path.startswith(f"tests/{name}") for name in BY_THE_CLOCK)


class Scheduler(LoadScopeScheduling):
    """For several processes at a time (-n): what runs against the clock stays in one of them, so
    that it waits for its like; each other file is whole, on each interpreter."""

    def _split_scope(self, nodeid):
        path, _, test = nodeid.partition("::")
        if by_the_clock(path):
            return "by the clock"
        return path + (test.rpartition("[")[2] if path.startswith("tests/device/") else "")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return Scheduler(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """What runs against the clock mostly waits: a process more than cores works meanwhile, at a
    lower priority (see below), so that it never makes the clock's late."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_runtest_setup(item):
    """A process that has no test against the clock (any more) gives way to the one that has."""
    if "PYTEST_XDIST_WORKER" in os.environ and not by_the_clock(item.nodeid):
        os.setpriority(os.PRIO_PROCESS, 0, PATIENT)


def pytest_collection_modifyitems(items):
    """What runs against the clock takes longest, and begins first."""
    items.sort(key=lambda item: not by_the_clock(item.nodeid))


def pytest_collection_finish(session):
    """Tells each subprocess which of its tests -k, -m and the command line have left."""
    for item in session.items:
        if isinstance(item, DeviceItem):
            item.run.names.append(item.function.name)
