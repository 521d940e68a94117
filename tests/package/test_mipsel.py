"""The runtime for MIPS32 release 1: what is in it, and that swdist works on it, as a 4Kc would."""

import re
import subprocess
import sys
import tarfile

import pytest
from packing import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import ipk_runtime

BUDGET_BYTES = 300 * 1024
RUN = ROOT / "tests/run_device.py"
DEVICE_TESTS = sorted((ROOT / "tests/device").glob("test_*.py"))
# What takes this processor longest, and asks no more of it than the others: `make soak`.
LONG = {
    "test_clock", "test_fetch", "test_install", "test_node", "test_store", "test_switcher",
    "test_tftp_transfer", "test_vectors_store",
}  # fmt: skip
# A static program has no libsodium, although it has a module `ffi`.
LEFT_OUT = {"test_libsodium_through_ffi_answers_alike"}


@pytest.fixture(scope="session")
def program():
    return ipk_runtime.program()


def assembled(tmp_path, text):
    source = tmp_path / "a.s"
    source.write_text(".text\n" + text + "\n")
    subprocess.run(["mipsel-linux-gnu-as", "-mips32", "-o", tmp_path / "a.o", source], check=True)
    return tmp_path / "a.o"


@pytest.mark.parametrize(
    "beyond",
    [
        ".set mips32r2\nseb $2, $3",
        ".set mips32r2\next $2, $3, 0, 8",
        ".set mips32r2\nrdhwr $4, $29",
        ".set mips32r6\naui $2, $3, 1",
        "add.d $f0, $f2, $f4",
        "mtc1 $2, $f3",
        "bc1t 0",
        "lwc1 $f1, 0($2)",
    ],
)
def test_what_a_wrt54gs_can_not_do_is_found(tmp_path, beyond):
    with pytest.raises(ValueError, match="not of MIPS32 release 1 without FPU"):
        ipk_runtime.instructions(assembled(tmp_path, "nop\n" + beyond))


def test_what_a_wrt54gs_can_do_passes(tmp_path):
    good = "movz $2, $3, $4\nclz $2, $3\nmadd $2, $3\nsync\n.set mips32r2\nrdhwr $3, $29"
    assert ipk_runtime.instructions(assembled(tmp_path, good)) >= 5


def test_ffi_of_the_static_runtime_knows_what_swdist_calls():
    calls = set()
    for path in (ROOT / "src/swdist").rglob("*.py"):
        calls |= set(re.findall(r'(?:call|c_function)\(\s*"\w+", "(\w+)"', path.read_text()))
    assert "setuid" in calls
    known = (ROOT / "tools/micropython/mipsel/modlibc.c").read_text()
    calls.remove("adjtimex")  # without it no clock is taken for a reference
    assert calls == set(re.findall(r'\{ "(\w+)", \w+ \}', known))


@pytest.mark.slow
def test_runtime_is_static_and_soft_float_and_of_release_1(program):
    assert ipk_runtime.check(program) > 10_000


@pytest.mark.slow
def test_runtime_package_is_within_its_budget_and_provides_micropython(program, tmp_path):
    data = ipk_runtime.ipk.ipk(ipk_runtime.package(program), 0)
    assert len(data) <= BUDGET_BYTES
    assert data == ipk_runtime.ipk.ipk(ipk_runtime.package(program), 0)
    path = tmp_path / "runtime.ipk"
    path.write_bytes(data)
    with tarfile.open(path) as outer:
        with tarfile.open(fileobj=outer.extractfile("./control.tar.gz")) as inner:
            control = inner.extractfile("./control").read().decode()
        with tarfile.open(fileobj=outer.extractfile("./data.tar.gz")) as inner:
            assert inner.extractfile("./usr/bin/micropython").read() == program.read_bytes()
    assert "Provides: micropython\nConflicts: micropython\n" in control
    assert "Architecture: mipsel_mips32\n" in control
    assert "Depends" not in control  # static, and no system before OpenWrt has a package `libc`


@pytest.mark.slow
@pytest.mark.soak
def test_second_build_gives_the_same_bytes(program, tmp_path):
    again = tmp_path / "program"
    tool = ROOT / "tools/ipk_runtime.py"
    subprocess.run([sys.executable, tool, "--build-to", again], check=True)
    assert again.read_bytes() == program.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.soak] * (p.stem in LONG), id=p.stem) for p in DEVICE_TESTS],
)
def test_device_tests_pass_as_a_4kc(program, path, tmp_path):
    names = set(re.findall(r"^def (test_\w+)", path.read_text(), re.M)) - LEFT_OUT
    folders = [str(ROOT / folder) for folder in ("src", "tests/device", "tests")]
    done = subprocess.run(
        [*ipk_runtime.QEMU, program, "-X", "heapsize=2M", RUN, path, *sorted(names)],
        cwd=tmp_path,
        env={"MICROPYPATH": ":".join([".frozen", *folders]), "PATH": "/bin:/usr/bin:/usr/sbin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    said = {line[3:] for line in done.stdout.splitlines() if line.startswith("ok ")}
    assert done.returncode == 0 and said == names, done.stdout
