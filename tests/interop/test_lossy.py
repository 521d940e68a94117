"""Each stock peer at either end, lock-step and in windows, where one packet in ten is lost."""

import random
import select
import socket
import subprocess
import threading

import peers
import pytest

pytestmark = pytest.mark.slow
LOSS = 0.1
SIZE = 12345
SEED = 5  # whose losses stock clients get over without waiting half a minute for a second try
LIMIT_S = 60
CLIENTS = (
    ("tftp-hpa", 512, 1),
    ("atftp", 512, 1),
    ("atftp", 1428, 16),
    ("curl", 512, 1),
    ("busybox", 512, 1),
    ("tftp", 512, 1),
    ("tftp", 1428, 16),
)
SERVERS = (
    ("tftpd-hpa", 0, 1),
    ("tftpd-hpa", 1428, 16),
    ("atftpd", 1428, 1),
    ("atftpd", 1428, 16),
    ("dnsmasq", 1428, 1),
    ("tftp", 0, 1),
    ("tftp", 1428, 16),
)


class Way:
    """One client's way to the server and back: near is its server, far is the server's client."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.near, self.far = bound(), bound()


def bound():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((peers.HOST, 0))
    return s


class LossyRelay:
    """Stands before the TFTP server on `port`. What is lost is drawn for each direction apart, so
    that it does not hang on who comes first."""

    def __init__(self, port):
        self.lost = 0
        self._server = (peers.HOST, port)
        self._to_server, self._to_client = random.Random(SEED), random.Random(SEED + 1)
        self._door = bound()
        self.port = self._door.getsockname()[1]
        self._ways = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        for s in [self._door] + [s for way in self._ways for s in (way.near, way.far)]:
            s.close()

    def _run(self):
        while not self._over.is_set():
            all_of = [self._door] + [s for way in self._ways for s in (way.near, way.far)]
            for s in select.select(all_of, (), (), 0.05)[0]:
                self._pass(s, *s.recvfrom(65536))

    def _pass(self, s, data, source):
        if s is self._door:
            ways = [way for way in self._ways if way.client == source]
            if not ways:
                ways = [Way(source, self._server)]
                self._ways += ways
            ways[-1].server = self._server
            self._send(self._to_server, ways[-1].far, data, self._server)
            return
        way = next(way for way in self._ways if s in (way.near, way.far))
        if s is way.far:
            way.server = source  # each transfer has a port of its own there
            self._send(self._to_client, way.near, data, way.client)
        else:
            self._send(self._to_server, way.far, data, way.server)

    def _send(self, draw, s, data, to):
        if draw.random() < LOSS:
            self.lost += 1
        else:
            s.sendto(data, to)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return peers.make_files(tmp_path_factory.mktemp("files"), (SIZE,))


@pytest.mark.parametrize("interpreter", peers.INTERPRETERS)
@pytest.mark.parametrize("kind, blksize, window", CLIENTS)
def test_a_stock_client_gets_a_file_of_ours(folder, tmp_path, interpreter, kind, blksize, window):
    path = tmp_path / "got"
    with peers.ours(interpreter, folder) as port, LossyRelay(port) as relay:
        words = peers.client_command(kind, relay.port, f"f{SIZE}", path, blksize, window)
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0 and relay.lost, done
    assert path.read_bytes() == (folder / f"f{SIZE}").read_bytes()


@pytest.mark.parametrize("interpreter", peers.INTERPRETERS)
@pytest.mark.parametrize("kind, blksize, window", SERVERS)
def test_ours_gets_a_file_of_a_stock_server(folder, tmp_path, interpreter, kind, blksize, window):
    port = 69 if kind == "dnsmasq" else peers.free_port()
    if port == 69 and (peers.bound(69) or not peers.can_bind_69()):
        pytest.skip("dnsmasq serves on port 69 only: it is in use, or takes root")
    path = tmp_path / "got"
    server = peers.running(peers.server_command(kind, port, folder), port=port)
    with server, LossyRelay(port) as relay:
        words = interpreter, relay.port, f"f{SIZE}", path, blksize, window
        done = peers.fetch(*words, limit_s=LIMIT_S)
    assert done.returncode == 0 and relay.lost, done
    assert path.read_bytes() == (folder / f"f{SIZE}").read_bytes()
