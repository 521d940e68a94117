"""All that went into one node's network side and came out of it, as lines in their order.

tests/sim/replay.py feeds the lines to the same modules on another interpreter and compares what
comes out, byte by byte. A line is a letter and fields:

  B now nonce start_us horizon_us factory board   boot
  N R S G now slot peer port hex                  a datagram for the node, requests, a slot, a get
  T now / M now                                   a turn of the loop / the mesh time was asked for
  A now rid version revision experimental failed on_hold lot
                                                  what the switch side says
  P now manifest signatures [index pieces]...     a release was put into the store
  r n value                                       a random number was drawn
  > where slot peer port hex                      a datagram was sent
"""

from swdist.formats.bits import version_text


class Tap:
    """Of one station, attached before its first boot. Only with the fidelity `packet`."""

    def __init__(self, station):
        self.lines = []
        self._station = station
        draw = station.rand

        def rand(n):
            value = draw(n)
            self.lines.append(f"r {n} {value}")
            return value

        station.rand = rand
        station.tap = self

    def boot(self, station, now):
        s = station.settings
        saved = station._saved_us()
        factory = version_text(s.factory_version)
        self.lines.append(
            f"B {now} {station.nonce} {saved} {s.boot_horizon_s * 1000000} {factory}"
            f" {station.board}"
        )

    def came(self, where, now, slot, peer, port, data):
        self.lines.append(f"{where.upper()} {now} {slot} {peer.hex()} {port} {data.hex()}")

    def sent(self, where, slot, peer, port, data):
        self.lines.append(f"> {where} {slot} {peer.hex() or '-'} {port} {data.hex()}")

    def tick(self, now):
        self.lines.append(f"T {now}")

    def asked_time(self, now):
        self.lines.append(f"M {now}")

    def active(self, now, what):
        rid, version, revision, experimental, failed, on_hold, lot = what
        failed = ",".join(f.hex() for f in failed) or "-"
        version = version_text(version)
        self.lines.append(
            f"A {now} {rid.hex()} {version} {revision} {experimental:d} {failed} {on_hold:d}"
            f" {lot.hex()}"
        )

    def put(self, swd, now):
        parts = [swd.manifest, swd.signatures]
        for packed in swd.payloads:
            parts += [packed.index, b"".join(packed.pieces)]
        self.lines.append(f"P {now} " + " ".join(part.hex() or "-" for part in parts))
