"""The network side as a whole, in virtual time: real machines, real store, a lossy radio."""

from wired import FS, INDEX, MANIFEST, PAYLOAD, SIGNATURES, Folder, World, inject


def covered(world):
    return all([[r.complete for r in s.store.releases] == [True] for s in world.stations])


def test_release_spreads_along_a_line_of_nodes():
    with Folder() as root:
        world = World(root, 4)
        world.run(10)
        inject(world.stations[0])
        world.run(30, lambda: covered(world))
        assert covered(world)
        for s in world.stations:
            path = s.store._dir(s.store.releases[0])
            assert FS.read(path + "/payload", 20000) == PAYLOAD


def spread_with(loss):
    with Folder() as root:
        world = World(root, 3, loss, seed=loss)
        world.run(10)
        inject(world.stations[2])
        world.run(300, lambda: covered(world))
        return covered(world)


def test_release_spreads_in_spite_of_loss():
    for loss in (10, 30):
        assert spread_with(loss), loss


def test_first_fetch_follows_an_injection_within_two_seconds():
    with Folder() as root:
        world = World(root, 2)
        world.run(600)
        inject(world.stations[0])
        world.run(2, lambda: world.stations[1].store.releases != [])
        assert world.stations[1].store.releases != []


def test_lost_announcement_of_progress_delays_a_fetch_by_seconds_at_most():
    with Folder() as root:
        world = World(root, 3)
        source = world.stations[1]
        others = (world.stations[0], world.stations[2])
        release, _ = source.store.add(MANIFEST, SIGNATURES)
        source.store.put_index(release, INDEX)
        source.store.put_chunk(release, 0, PAYLOAD[:4096])
        world.run(60)
        assert [s.store.releases[0].held for s in others] == [1, 1]
        put = world.put
        until = world.now + 4000000

        def lossy(station, peer, sport, port, buf, n):
            if station is not source or port != 27182 or buf[4] != 2 or world.now > until:
                put(station, peer, sport, port, buf, n)

        world.put = lossy
        for n in (1, 2):
            source.store.put_chunk(release, n, PAYLOAD[4096 * n : 4096 * n + 4096])
        # All three are in the midst of spreading: each hears two others that say the same set.
        for s in world.stations:
            s.node.news(world.now)
        world.run(8, lambda: covered(world))
        assert covered(world)


def test_quiet_mesh_sends_few_datagrams():
    with Folder() as root:
        world = World(root, 3)
        inject(world.stations[0])
        world.run(3600)
        sent = []
        put = world.put
        world.put = lambda *a: (sent.append(a[4]), put(*a))
        world.run(3600)
        assert len(sent) / 4 / 60 < 5  # the middle one's are counted for each of its neighbours


class Lying:
    """The serving side of a malicious neighbour: changes what it is asked for."""

    def __init__(self, data, at, bit):
        self.data = bytearray(data)
        self.data[at] ^= bit
        self.size = len(data)

    def read_into(self, offset, view):
        part = self.data[offset : offset + len(view)]
        view[: len(part)] = part
        return len(part)

    def close(self):
        pass


def refused(part, data, at):
    """A neighbour changes one bit of one part; what the other has after a while."""
    with Folder() as root:
        world = World(root, 2)
        liar, honest = world.stations
        inject(liar)
        true_open = liar.store.open

        def lie(name):
            return Lying(data, at, 1 << at % 8) if name.endswith(part) else true_open(name)

        liar.open = lie
        liar.serve._open = lie
        world.run(8)
        said = [line for line in honest.log.lines if line.startswith("refused")]
        return said, honest, FS.listdir(root + "/2")


def test_changed_manifest_or_signature_is_refused_with_a_reason_and_nothing_is_kept():
    for part, data in ((b"/manifest", MANIFEST), (b"/signatures", SIGNATURES)):
        for at in range(0, len(data), 61):
            said, honest, kept = refused(part, data, at)
            assert len(said) == 1, (part, at)
            assert honest.store.releases == [] and kept == [], (part, at)


def test_changed_index_or_chunk_is_refused_with_a_reason_and_not_stored():
    for part, data in ((b"/index", INDEX), (b"/1", PAYLOAD[4096:8192])):
        for at in (0, 40, len(data) - 1):
            said, honest, _ = refused(part, data, at)
            assert len(said) == 1 and "digest" in said[0]
            r = honest.store.releases[0]
            assert not r.complete and r.indexed == (part == b"/1") and r.held == (part == b"/1")


def test_every_changed_byte_of_the_index_is_refused():
    with Folder() as root:
        station = World(root, 1).stations[0]
        release, _ = station.store.add(MANIFEST, SIGNATURES)
        for at in range(len(INDEX)):
            bad = bytearray(INDEX)
            bad[at] ^= 1 << at % 8
            assert station.store.put_index(release, bytes(bad)) is not None
        assert not release.indexed
        assert station.store.put_index(release, INDEX) is None


def test_liar_does_not_keep_a_release_from_honest_neighbours():
    with Folder() as root:
        world = World(root, 3)
        liar, victim, honest = world.stations
        inject(liar)
        lie = Lying(PAYLOAD[:4096], 9, 1)
        true_open = liar.store.open
        liar.serve._open = lambda name: lie if name.endswith(b"/0") else true_open(name)
        world.run(5)
        assert not victim.store.releases[0].complete
        inject(honest)
        world.run(60, lambda: victim.store.releases[0].complete)
        assert victim.store.releases[0].complete


def test_stranger_s_datagrams_fill_no_table():
    with Folder() as root:
        world = World(root, 2)
        inject(world.stations[0])
        node = world.stations[1].node
        sent = []
        world.put = lambda source, peer, sport, port, buf, n: sent.append(bytes(buf[:n]))
        world.run(3)
        announce = [d for d in sent if d[4] == 2 and len(d) > 40][0]
        for i in range(5000):
            data = bytearray(announce)
            data[16:24] = bytes([i & 255, i >> 8] * 4)  # nonce
            data[39:47] = bytes([i & 255, i >> 8] * 4)  # release id
            peer = bytes([9, i & 255, i >> 8] + [0] * 17)
            node.receive(peer, 27182, data, len(data), world.now)
        rows = node.neighbours.rows
        assert len(rows) == 16 and max([len(r.offers) for r in rows]) <= 8
        assert node.rejects[4] > 4000
