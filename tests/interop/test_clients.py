"""Stock TFTP clients fetch from our server, on CPython and on MicroPython."""

import subprocess

import peers
import pytest

SIZES = (0, 1, 511, 512, 513, 1428, 100 * 1024, 1 << 20)
pytestmark = pytest.mark.slow
CLIENTS = (
    ("tftp-hpa", 512, 1),
    ("atftp", 512, 1),
    ("atftp", 1428, 1),
    ("atftp", 1428, 16),
    ("curl", 512, 1),
    ("curl", 1428, 1),
    ("busybox", 512, 1),
    ("busybox", 1428, 1),
    ("tftp", 512, 1),
    ("tftp", 1428, 1),
    ("tftp", 1428, 16),
)


def run(arguments):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=peers.LIMIT_S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return peers.make_files(tmp_path_factory.mktemp("files"), SIZES)


@pytest.fixture(scope="module", params=peers.INTERPRETERS)
def port(request, folder):
    with peers.ours(request.param, folder) as port:
        yield port


@pytest.mark.parametrize("kind, blksize, window", CLIENTS)
def test_a_stock_client_gets_files_of_all_sizes(folder, port, tmp_path, kind, blksize, window):
    # curl 7.88 can't get an empty file with options, from nobody ("getpeername() failed").
    for size in SIZES[1:] if (kind, blksize) == ("curl", 1428) else SIZES:
        path = tmp_path / f"got{size}"
        done = run(peers.client_command(kind, port, f"f{size}", path, blksize, window))
        assert done.returncode == 0, (size, done)
        assert path.read_bytes() == (folder / f"f{size}").read_bytes(), size


@pytest.mark.parametrize("kind", ("tftp-hpa", "atftp", "curl", "busybox", "tftp"))
def test_a_missing_file_is_an_error_and_leaves_nothing(port, tmp_path, kind):
    path = tmp_path / "got"
    done = run(peers.client_command(kind, port, "missing", path, 512, 1))
    said = (done.stdout + done.stderr).lower()
    assert done.returncode or "not here" in said, done  # tftp-hpa says it, and ends with 0
    assert not path.exists() or path.stat().st_size == 0
