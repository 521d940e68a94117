"""This host as a neighbour of the mesh: the device's own network side, in a scratch directory."""

import contextlib
import shutil
import socket
import tempfile
from pathlib import Path
from struct import unpack_from

from swdist import config, datagram, netd, platform
from swdist.bits import version_text
from swdist_host import ca, release
from swdist_host.errors import Refused


class Seen:
    """What one neighbour has said: facts() is for --json, and for the tables."""

    def __init__(self, peer):
        host = socket.inet_ntop(socket.AF_INET6, peer[:16]).removeprefix("::ffff:")
        link = int.from_bytes(peer[16:], "big")
        with contextlib.suppress(OSError):
            link = socket.if_indextoname(link)
        self.address = f"{host}%{link}"
        self.version = None
        self.synced = False
        self.offset_us = None
        self.pending = None
        self.releases = {}

    def facts(self):
        return {
            "address": self.address,
            "version": self.version,
            "synced": self.synced,
            "offset_us": self.offset_us,
            "pending": self.pending,
            "releases": [self.releases[key] for key in sorted(self.releases)],
        }


class Laptop:
    """swds: releases to offer, verified against the CA first. With none it only listens: it
    fetches nothing. Use as a context manager."""

    def __init__(self, ca_dir, interfaces, swds=(), port=27184):
        self.swds = swds
        self.seen = {}
        trust = ca.load(ca_dir).trust
        for swd in swds:
            release.verify(swd, trust)
        self._folder = Path(tempfile.mkdtemp(prefix="swdist-"))
        try:
            self.netd = self._netd(ca_dir, interfaces, port, trust)
        except ValueError as e:
            self.__exit__()
            raise Refused(str(e)) from None

    def _netd(self, ca_dir, interfaces, port, trust):
        for swd in self.swds:
            folder = self._folder / "store" / swd.rid.hex()
            folder.mkdir(parents=True)
            for part in ("manifest", "signatures", "index", "payload"):
                if getattr(swd, part):
                    (folder / part).write_bytes(getattr(swd, part))
        (self._folder / "run").mkdir()
        (self._folder / "store").mkdir(exist_ok=True)
        options = {
            "interface": ",".join(interfaces),
            "store": self._folder / "store",
            "run": self._folder / "run",
            "ca": Path(ca_dir).absolute(),
            "log": "stderr",
            "log_level": "error",
            "quota_kb": "1048576",
            "tftp_port": port,
            "beacon_ms": "1000",
        }
        flags = [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
        fs = platform.Fs()
        conf = config.load(flags, "swdist", fs)
        daemon = netd.Netd(conf, conf.log_to("swdist"), fs, trust)
        node = daemon.node
        node.fetch.offer = lambda *_: None  # a laptop takes nothing
        self._spy(node)
        return daemon

    def _spy(self, node):
        """Looks at each datagram after the node has accepted it."""
        receive = node.receive

        def received(peer, port, buf, n, now):
            result = receive(peer, port, buf, n, now)
            if result == 0 and buf[4] in (datagram.BEACON, datagram.ANNOUNCE):
                seen = self.seen.setdefault(bytes(peer), Seen(bytes(peer)))
                (self._beacon if buf[4] == datagram.BEACON else self._announce)(seen, buf, n)
            return result

        node.receive = received

    def _tlvs(self, buf, n, kind, form):
        at = datagram.first_tlv(buf)
        while at < n:
            if buf[at] == kind:
                yield unpack_from(form, buf, at + 3)
            at = datagram.next_tlv(buf, at)

    def _beacon(self, seen, buf, n):
        f = unpack_from(datagram.BEACON_FORM, buf, datagram.HEADER_BYTES)
        seen.version = version_text(f[5:8])
        seen.synced = bool(f[9] & datagram.SYNCED)
        seen.offset_us = f[1] + f[2] - self.netd.counter.wall_us()
        seen.pending = None
        for p in self._tlvs(buf, n, datagram.TLV_PENDING, datagram.PENDING_FORM):
            seen.pending = {"version": version_text(p[:3]), "seconds": p[4], "percent": p[5]}

    def _announce(self, seen, buf, n):
        for r in self._tlvs(buf, n, datagram.TLV_RELEASE, datagram.RELEASE_FORM):
            percent = 100 if r[5] & datagram.COMPLETE else 100 * r[8] // max(r[7], 1)
            seen.releases[r[0].hex()] = {
                "id": r[0].hex(),
                "version": version_text(r[1:4]),
                "revision": r[4],
                "percent": percent,
                "failed": bool(r[5] & datagram.FAILED_HERE),
            }

    def covered(self):
        """How many neighbours have all of what is offered."""
        wanted = {swd.rid.hex() for swd in self.swds}
        return sum(
            all(seen.releases.get(rid, {}).get("percent") == 100 for rid in wanted)
            for seen in self.seen.values()
        )

    def run(self, seconds, on_tick):
        """Until on_tick() is true, the seconds are over (None: never), or Ctrl-C."""
        end = None if seconds is None else self.netd.counter.counter_us() + seconds * 1_000_000

        def tick(now):
            return bool(on_tick()) or (end is not None and now >= end)

        self.netd.run(tick)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self._folder, ignore_errors=True)
