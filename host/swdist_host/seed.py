"""This host as a neighbour that offers a release: the device's own network side on CPython, with a
store that lasts as long as the command."""

import contextlib
import errno
import shutil
import socket
import tempfile
from pathlib import Path

from swdist import config, datagram, netd, platform
from swdist import manifest as device_manifest
from swdist.verify import Release
from swdist_host import transfers
from swdist_host.errors import Refused
from swdist_host.mesh import Mesh

PORT = 27184  # of the TFTP server, if it is free: beside a node's 27183
ASK_US = 1_000_000
ASK_AGAIN_US = 5_000_000


class Unchecked:
    """In place of the CA's keys when there are none here: takes this one release."""

    baked = ()

    def __init__(self, swd):
        self.network = swd.parsed.network
        self._rid = swd.rid

    def check(self, manifest, signatures):
        parsed, why = device_manifest.parse(manifest)
        if parsed is None or parsed.rid != self._rid:
            return None, why or "not the release that is seeded"
        return Release(parsed), None

    def adopt(self, release):
        return False


class Log:
    """The device's log: what goes wrong, on stderr."""

    def __init__(self, note):
        self.error = self.warn = note

    def info(self, text):
        pass

    debug = info


class Seeder:
    """trust: a verify.Trust or Unchecked. note(text): where the node's warnings go. Use as a
    context manager."""

    def __init__(self, swd, trust, interfaces, note, port=None):
        self.swd = swd
        self._folder = Path(tempfile.mkdtemp(prefix="swdist-seed-"))
        try:
            self._fill()
            self._netd = self._make(trust, interfaces, note, port or _free_port())
        except ValueError as e:
            self.close()
            raise Refused(str(e)) from None
        except BaseException:
            self.close()
            raise
        self.mesh = Mesh(trust.network, self._netd.node.nonce)
        self._spy(self._netd.node)

    def _fill(self):
        release = self._folder / "store" / self.swd.rid.hex()
        release.mkdir(parents=True)
        (self._folder / "run").mkdir()
        for part in ("manifest", "signatures", "index", "payload"):
            if getattr(self.swd, part):
                (release / part).write_bytes(getattr(self.swd, part))

    def _make(self, trust, interfaces, note, port):
        options = {
            "interface": ",".join(interfaces),
            "store": self._folder / "store",
            "state": self._folder,
            "run": self._folder / "run",
            "board": "laptop",
            "log": "stderr",
            "quota_kb": "1048576",
            "tftp_port": port,
            "user": "",
            "beacon_ms": "0",
        }
        (self._folder / "config").write_text("config swdist\n")
        flags = ["--config", str(self._folder / "config")]
        for key, value in options.items():
            flags += ["--set", f"{key}={value}"]
        fs = platform.Fs()
        conf = config.load(flags, "swdist", fs)
        transfers.use()
        daemon = netd.Netd(conf, Log(note), fs, trust, platform.Clock())
        held = daemon.store.get(self.swd.rid)
        if held is None or not held.complete:
            raise Refused("the node's own code doesn't take it; see the line above")
        daemon.node.fetch.offer = lambda *_: None  # it gives, and takes nothing
        daemon.node.clock.echo_of = lambda row, now: None  # so no node counts this host's clock
        return daemon

    def _spy(self, node):
        """Hears what the node hears."""
        receive = node.receive

        def received(peer, port, buf, n, now):
            self.mesh.receive(peer, buf, n, now)
            return receive(peer, port, buf, n, now)

        node.receive = received

    def now(self):
        return self._netd.counter.counter_us()

    def wall_us(self):
        """This host's clock less its counter."""
        return self._netd.counter.wall_us() - self._netd.counter.counter_us()

    def holders(self):
        """How many neighbours say that they have all of it."""
        return self.mesh.holders(self.swd.rid)

    def superseded_by(self):
        """(neighbour, revision) where one claims to hold a later revision of the same version."""
        ours = self.swd.parsed
        for row in self.mesh.rows():
            for held in row.releases.values():
                later = (held.revision, held.rid) > (ours.revision, ours.rid)
                if held.version == ours.version and later:
                    return row, held.revision
        return None

    def run(self, on_turn, seconds=None):
        """on_turn(now) is called at least once a second, and ends it by giving True."""
        began = self.now()
        ask_at = began + ASK_US

        def turn(now):
            nonlocal ask_at
            if now >= ask_at:
                ask_at = now + ASK_US
                self._ask(now)
            over = seconds is not None and now - began >= seconds * 1_000_000
            return bool(on_turn(now)) or over

        self._netd.run(turn)

    def _ask(self, now):
        """How far it is, of a neighbour that has not said so of late and lacks a part."""
        row = self.mesh.to_ask(now, ASK_AGAIN_US)
        if row is not None and not row.has(self.swd.rid):
            writer = self._netd.node.writer
            writer.query()
            self._netd.link.send(row.peer, datagram.PORT, memoryview(writer.buf)[: writer.n])

    def close(self):
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _free_port():
    for port in (PORT, 0):
        for family in (socket.AF_INET6, socket.AF_INET):
            with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as s:
                s.bind(("", port))
                return s.getsockname()[1]
    raise Refused(f"no UDP port can be had here ({errno.errorcode[errno.EADDRINUSE]})")
