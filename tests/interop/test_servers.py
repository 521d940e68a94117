"""Our client, on CPython and on MicroPython, fetches from stock TFTP servers."""

import json

import peers
import pytest

SIZES = (0, 1, 511, 512, 513, 1428, 100 * 1024, 1 << 20)
SERVERS = ("tftpd-hpa", "atftpd", "dnsmasq", "tftp")  # Debian's busybox has only the client
# Block size 0: a request without options, as RFC 1350 has it.
CELLS = ((0, 1), (1428, 1), (1428, 16))
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return peers.make_files(tmp_path_factory.mktemp("files"), SIZES)


@pytest.fixture(scope="module", params=SERVERS)
def port(request, folder):
    port = 69 if request.param == "dnsmasq" else peers.free_port()
    if port == 69 and peers.bound(69):
        pytest.skip("port 69, the only one that dnsmasq can serve on, is in use")
    if port == 69 and not peers.can_bind_69():
        pytest.skip("dnsmasq serves on port 69 only, which takes root")
    with peers.running(peers.server_command(request.param, port, folder), port=port):
        yield port


@pytest.mark.parametrize("interpreter", peers.INTERPRETERS)
@pytest.mark.parametrize("blksize, window", CELLS)
def test_our_client_gets_files_of_all_sizes(folder, port, tmp_path, interpreter, blksize, window):
    for size in SIZES:
        path = tmp_path / f"got{size}"
        done = peers.fetch(interpreter, port, f"f{size}", path, blksize, window)
        assert done.returncode == 0, (size, done)
        assert path.read_bytes() == (folder / f"f{size}").read_bytes(), size


@pytest.mark.parametrize("interpreter", peers.INTERPRETERS)
def test_missing_file_is_refused_and_leaves_nothing(port, tmp_path, interpreter):
    path = tmp_path / "got"
    done = peers.fetch(interpreter, port, "missing", path, 1428)
    assert done.returncode == 1 and not path.exists()
    assert json.loads(done.stdout)["reason"].startswith("refused, error 1")
