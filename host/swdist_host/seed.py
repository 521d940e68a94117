"""This host as a neighbour that offers a release: the device's own network side on CPython, with a
store that lasts as long as the command."""

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from pathlib import Path

from swdist import netd
from swdist.formats import datagram
from swdist.formats import manifest as device_manifest
from swdist.shell import platform
from swdist.trust.verify import Release
from swdist.wiring import config
from swdist_host import transfers
from swdist_host.errors import Refused
from swdist_host.mesh import Mesh

PORT = 27184  # of the TFTP server, if it is free: beside a node's 27183
ASK_US = 1_000_000
ASK_AGAIN_US = 5_000_000
QUOTA_KB = 1048576
IMAGES_KB = 131072  # the largest image; those of a release may be more in all


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
        return Release(parsed), signatures

    def next_set(self):
        return 0

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
        self._fd = os.open(self._folder, os.O_PATH)
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
        lines = swd.parsed.payloads
        self.pids = tuple(dict.fromkeys(line.pid for line in lines))
        self.names = {
            line.pid: f"{n} ({line.kind})" for n, line in reversed([*enumerate(lines, 1)])
        }
        self._spy(self._netd.node)

    def _fill(self):
        """Lays the release where a node has it: images in RUN, which is in RAM there."""
        swd = self.swd
        head = {"manifest": swd.manifest, "signatures": swd.signatures}
        self._write(f"store/releases/{swd.rid.hex()}", head)
        (self._folder / "store/payloads").mkdir()
        (self._folder / "run/images").mkdir(parents=True)
        for line in swd.parsed.payloads:
            packed = swd.packed(line)
            pages, chunks = packed.pieces[: packed.pages], packed.pieces[packed.pages :]
            parts = {"index": packed.index, "pages": b"".join(pages), "payload": b"".join(chunks)}
            where = "run/images" if line.kind == "image" else "store/payloads"
            self._write(f"{where}/{line.pid.hex()}", parts)

    def _write(self, where, parts):
        folder = self._folder / where
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in parts.items():
            (folder / name).write_bytes(data)

    def _make(self, trust, interfaces, note, port):
        # Short, whatever TMPDIR is: a socket's name has at most 107 bytes (unix(7)).
        folder = f"/proc/self/fd/{self._fd}"
        options = {
            "interface": ",".join(interfaces),
            "store": f"{folder}/store",
            "state": folder,
            "run": f"{folder}/run",
            "board": "laptop",
            "log": "stderr",
            "quota_kb": QUOTA_KB,
            "images_kb": IMAGES_KB,
            "tftp_port": port,
            "user": "",
            "beacon_ms": "0",
        }
        (self._folder / "config").write_text("config swdist\n")
        flags = ["--config", f"{folder}/config"]
        for key, value in options.items():
            flags += ["--set", f"{key}={value}"]
        fs = platform.Fs()
        conf = config.load(flags, "swdist", fs)
        transfers.use()
        daemon = netd.Netd(conf, Log(note), fs, trust, platform.Clock(), keep_all=True)
        store = daemon.store
        held = store.catalogue.get(self.swd.rid)
        if held is None or not all(store.ready(None, line) for line in held.manifest.payloads):
            raise Refused("the node's own code doesn't take it; see the line above")
        daemon.node.fetch.offer = lambda *_: None  # it gives, and takes nothing
        daemon.node.clock.echo_of = lambda row, now: None  # so no node counts this host's clock
        return daemon

    def _spy(self, node):
        """Hears what the node hears."""
        receive = node.hearing.receive

        def received(peer, buf, n, now):
            self.mesh.receive(peer, buf, n, now)
            return receive(peer, buf, n, now)

        node.hearing.receive = received

    def now(self):
        return self._netd.counter.counter_us()

    def wall_us(self):
        """This host's clock less its counter."""
        return self._netd.counter.wall_us() - self._netd.counter.counter_us()

    def holders(self):
        """How many neighbours say that they have all of it that they want."""
        return self.mesh.holders(self.swd.rid, self.pids)

    def left_alone(self):
        """Names of the payloads that no neighbour holds all of."""
        held = {p.pid for row in self.mesh.rows() for p in row.payloads.values() if p.complete}
        return [self.names[pid] for pid in self.pids if pid not in held]

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
        if row is not None and not row.has(self.swd.rid, self.pids):
            writer = self._netd.node.speech.writer
            writer.query()
            self._netd.link.send(row.peer, datagram.PORT, memoryview(writer.buf)[: writer.n])

    def close(self):
        os.close(self._fd)
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
