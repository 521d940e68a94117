"""What does not exist yet: versions 1.5.99 and 9.0.0, made up, in a mesh of today's nodes.

Releases with keys, payloads and signatures that nobody knows, and a node in the midst of the mesh
whose datagrams are longer, fuller, and sometimes of types that nobody knows. docs/protocol.md says
what each is to a node of today; the vectors say it for each format alone.
"""

import dataclasses
import struct

import pytest

from swdist_host import release, sigfile
from swdist_host.sim import simulation, station, topology

AHEAD = 2  # the node from the future: what is injected at one end must pass it
LATER_KEY = b"\x77" * 8


def mesh(future=True):
    settings = station.Settings(clock="right", confirm_s=20)
    sim = simulation.Simulation(topology.make("line", 5, 1), 1, settings)
    if future:
        speak(sim.stations[AHEAD])
    sim.boot()
    sim.run(10)
    return sim


def speak(s):
    """Its fixed parts and values are longer, it adds what nobody knows, and says more beside."""
    send = s.broadcast
    s.odd = 0

    def broadcast(buf, n):
        data = bytes(buf[:n])
        head, (size,) = data[:6], struct.unpack_from("!H", data, 6)
        fixed = data[16 : 16 + size] + b"\xee" * 6
        out = head + struct.pack("!H", len(fixed)) + data[8:16] + fixed
        at = 16 + size
        while at < n:
            tlv, length = struct.unpack_from("!BH", data, at)
            out += (
                struct.pack("!BH", tlv, length + 3) + data[at + 3 : at + 3 + length] + b"\xee" * 3
            )
            at += 3 + length
        out += struct.pack("!BH", 0x41, 5) + b"later"
        send(out, len(out))
        for other in (
            data[:4] + b"\x09" + data[5:],  # a type that nobody knows
            data[:3] + b"\x02" + data[4:],  # the next version of the header
            data + struct.pack("!BH", 0x91, 1) + b"!",  # a critical TLV
        ):
            s.odd += 1
            send(other, len(other))

    s.broadcast = broadcast


def later(sim, version, lines=(), kind="slot"):
    """A release with further lines, and a signature of another kind between those of the CA."""
    now_s = sim.now_s()
    data = sim.authority.payload(version, 40000)
    source = release.Source(kind, (), data)
    swd = release.build(sim.authority.network, version, now_s + 30, (source,), now_s=now_s)
    manifest = swd.manifest + b"".join(line + b"\n" for line in lines)
    swd = dataclasses.replace(swd, manifest=manifest)
    first, second = sim.authority.keys[:2]
    swd = release.sign(swd, first)
    unknown = sigfile.block(b"Zz", LATER_KEY, bytes(range(250)) * 4)
    swd = dataclasses.replace(swd, signatures=swd.signatures + unknown)
    swd = release.sign(swd, second)
    sim.authority.signed(swd, 0)
    return swd


def blocks(signatures):
    """Each block apart, for a node keeps all of them, those that it can check first."""
    lines = signatures.splitlines()
    return sorted(zip(lines[::2], lines[1::2], strict=True))


def same(s, name, data):
    got = s.fs.read(f"{station.STORE}/{name}", 1 << 20)
    if name.endswith("/signatures"):
        return blocks(got) == blocks(data)
    return got == data


def held_alike(sim, swd):
    """Has each node all of it, every byte as it was signed?"""
    (packed,) = swd.payloads
    rid, pid = swd.rid.hex(), packed.pid.hex()
    files = {
        f"releases/{rid}/manifest": swd.manifest,
        f"releases/{rid}/signatures": swd.signatures,
        f"payloads/{pid}/index": packed.index,
        f"payloads/{pid}/pages": b"".join(packed.pieces[: packed.pages]),
        f"payloads/{pid}/payload": b"".join(packed.pieces[packed.pages :]),
    }
    for s in sim.stations:
        for name, data in files.items():
            assert same(s, name, data), (s.number, name)


def known_to_all(sim, swd):
    """What fits nowhere is passed on as a manifest, and its payload where somebody wants it."""
    for s in sim.stations:
        assert s.store.catalogue.get(swd.rid) is not None, s.number
        for name in ("manifest", "signatures"):
            path = f"releases/{swd.rid.hex()}/{name}"
            assert same(s, path, getattr(swd, name)), (s.number, name)


def active(sim):
    return {s.switch.switcher.active.manifest.version for s in sim.stations}


def test_release_of_a_later_tool_is_installed_by_nodes_of_today():
    sim = mesh()
    swd = later(sim, "1.5.99", [b"Energy: low", b"Min-Free: 20480"])
    sim.inject(0, swd)
    sim.run(90)
    held_alike(sim, swd)
    assert active(sim) == {(1, 5, 99)}
    assert {s.switch.slots.confirmed() for s in sim.stations} == {swd.rid}
    assert sim.stations[AHEAD].odd > 20


@pytest.mark.parametrize(
    "lines, kind", [([b"!Needs: quantum"], "slot"), ([b"Delta-Of: 1.5.99"], "delta")]
)
def test_release_that_only_later_nodes_can_install_is_passed_on_and_not_run(lines, kind):
    sim = mesh()
    today = sim.release("1.1.0", start_s=sim.now_s() + 30, size=40000)
    swd = later(sim, "9.0.0", lines, kind)
    sim.inject(0, today)
    sim.inject(0, swd)
    sim.run(90)
    known_to_all(sim, swd)
    held_alike(sim, today)
    assert active(sim) == {(1, 1, 0)}


def test_time_and_neighbours_do_not_suffer_from_a_later_node():
    figures = []
    for future in (False, True):
        sim = mesh(future)
        sim.run(120)
        now = [s.counter(sim.world.now) for s in sim.stations]
        clocks = [s.clock.offset_at(n) + n - sim.true_us() for s, n in zip(sim.stations, now)]
        assert all(s.clock.synced for s in sim.stations)
        figures.append(max(clocks) - min(clocks))
        heard = [s.node.neighbours.fresh(n, 300_000_000) for s, n in zip(sim.stations, now)]
        assert heard == [1, 2, 2, 2, 1]
    assert figures[1] < figures[0] + 20_000, figures
