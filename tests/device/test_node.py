"""The network side as a whole, in virtual time: real machines, real store, a lossy radio."""

from made import CHUNK, Made, file_of, fill, manifest
from wired import BOARD, FS, MANIFEST, PAYLOAD, SIGNATURES, Folder, World, inject

from swdist.formats import datagram
from swdist.machines.neighbours import MAX_PAYLOADS
from swdist.machines.relay import WANT_US
from swdist.wiring.status import of_node


def whole(station, made=PAYLOAD):
    h = station.store.held(made.pid)
    return h is not None and h.complete()


def covered(world):
    return all([whole(s) for s in world.stations])


def test_release_spreads_along_a_line_of_nodes():
    with Folder() as root:
        world = World(root, 4)
        world.run(10)
        inject(world.stations[0])
        world.run(30, lambda: covered(world))
        assert covered(world)
        for s in world.stations:
            assert FS.read(s.store.held(PAYLOAD.pid).path + "/payload", 20000) == PAYLOAD.data


def spread_with(loss):
    with Folder() as root:
        world = World(root, 3, loss, seed=loss)
        world.run(10)
        inject(world.stations[2])
        world.run(300, lambda: covered(world))
        return covered(world)


def test_spoilt_piece_is_found_and_fetched_again_though_the_switch_side_says_nothing():
    with Folder() as root:
        world = World(root, 2)
        world.run(10)
        inject(world.stations[0])
        world.run(30, lambda: covered(world))
        last = world.stations[1]
        data = bytes(len(PAYLOAD.data))
        FS.write_atomic(last.store.held(PAYLOAD.pid).path + "/payload", data)
        world.run(600, lambda: not covered(world))
        assert [line for line in last.log.lines if "spoilt" in line]
        world.run(60, lambda: covered(world))
        assert covered(world)


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
        source.store.add(MANIFEST, SIGNATURES)
        fill(source.store, PAYLOAD, 2)
        world.run(60)
        assert [s.store.held(PAYLOAD.pid).held for s in others] == [2, 2]
        put = world.put
        until = world.now + 4000000

        def lossy(station, peer, sport, port, buf, n):
            if station is not source or port != 27182 or buf[4] != 2 or world.now > until:
                put(station, peer, sport, port, buf, n)

        world.put = lossy
        fill(source.store, PAYLOAD)
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


# --- two boards

OURS = Made(bytes([i * 5 % 256 for i in range(3 * CHUNK + 7)]))
TWO = manifest("1.1.0", [PAYLOAD.line(boards="c"), OURS.line(boards=BOARD)])


def test_node_of_another_board_between_them_relays_what_it_can_not_run():
    with Folder() as root:
        world = World(root, 3, boards=("c", BOARD, "c"))
        world.run(10)
        first, between, last = world.stations
        inject(first, TWO)
        world.run(60, lambda: whole(last))
        assert whole(last) and whole(between)
        assert between.store.needs.relayed == (PAYLOAD.pid,)
        assert not [s for s in world.stations if s.store.held(OURS.pid)]
        world.run(400)
        assert between.store.needs.relayed == ()  # nobody wants it any more


def test_wish_travels_over_many_hops_to_a_source():
    with Folder() as root:
        world = World(root, 5, boards=("c", BOARD, BOARD, BOARD, "c"))
        world.run(10)
        inject(world.stations[0], TWO)
        world.run(150, lambda: whole(world.stations[4]))
        assert whole(world.stations[4])


def test_nothing_is_relayed_where_nobody_wants_it():
    with Folder() as root:
        world = World(root, 3, boards=("c", BOARD, BOARD))
        world.run(10)
        inject(world.stations[0], TWO)
        fill(world.stations[0].store, OURS)
        world.stations[0].node.news(world.now)
        world.run(60)
        for s in world.stations[1:]:
            assert (
                whole(s, OURS) and s.store.held(PAYLOAD.pid) is None and s.store.needs.relayed == ()
            )


def test_same_chunks_of_two_boards_payloads_go_over_the_air_once():
    common = bytes([i * 11 % 256 for i in range(256)]) * 16 * 8
    a = Made(common[:16384] + b"a" * 100)
    b = Made(common[:16384] + b"b" * 100)
    with Folder() as root:
        world = World(root, 2)
        world.run(10)
        inject(world.stations[0], manifest("1.1.0", [a]), a)
        world.run(20, lambda: whole(world.stations[1], a))
        sent = []
        put = world.put
        world.put = lambda *x: (sent.append(x[5] if x[3] != 27182 else 0), put(*x))
        inject(world.stations[0], manifest("1.2.0", [b]), b)
        world.run(20, lambda: whole(world.stations[1], b))
        assert whole(world.stations[1], a) and whole(world.stations[1], b)
        assert sum(sent) < 3500, sum(sent)


def lying(data, at, bit):
    """What a malicious neighbour serves in the place of a file."""
    data = bytearray(data)
    data[at] ^= bit
    return file_of(data)


def refused(part, data, at):
    """A neighbour changes one bit of one part; what the other has after a while."""
    with Folder() as root:
        world = World(root, 2)
        liar, honest = world.stations
        inject(liar)
        true_open = liar.store.open

        def lie(name):
            return lying(data, at, 1 << at % 8) if name.endswith(part) else true_open(name)

        liar.open = lie
        liar.serve._open = lie
        world.run(8)
        said = [line for line in honest.log.lines if line.startswith("refused")]
        return said, honest, FS.listdir(root + "/2/releases")


def test_changed_manifest_or_signature_is_refused_with_a_reason_and_nothing_is_kept():
    for part, data, step in ((b"/manifest", MANIFEST, 31), (b"/signatures", SIGNATURES, 1)):
        for at in range(0, len(data), step):
            said, honest, kept = refused(part, data, at)
            assert len(said) == 1, (part, at)
            assert honest.store.releases == [] and kept == [], (part, at)


def test_changed_index_or_page_is_refused_with_a_reason_and_not_stored():
    for part, data in ((b"/index", PAYLOAD.index), (b"/0-0", PAYLOAD.pages[0])):
        for at in (0, 40, len(data) - 1):
            said, honest, _ = refused(part, data, at)
            assert len(said) == 1 and "digest" in said[0], (part, said)
            h = honest.store.held(PAYLOAD.pid)
            assert h is None if part == b"/index" else h.held == 0


def test_changed_chunk_is_refused_with_a_reason_and_those_before_it_are_kept():
    for at in (0, 4095, 4096, 9999):
        said, honest, _ = refused(b"/1-3", PAYLOAD.data, at)
        assert len(said) == 1 and "digest" in said[0]
        assert honest.store.held(PAYLOAD.pid).held == 1 + at // CHUNK, at


def test_liar_does_not_keep_a_release_from_honest_neighbours():
    with Folder() as root:
        world = World(root, 3)
        liar, victim, honest = world.stations
        inject(liar)
        lie = lying(PAYLOAD.data, 9, 1)
        true_open = liar.store.open
        liar.serve._open = lambda name: lie if name.endswith(b"/1-3") else true_open(name)
        world.run(5)
        assert not whole(victim)
        inject(honest)
        world.run(60, lambda: whole(victim))
        assert whole(victim)


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
            node.hearing.receive(peer, data, len(data), world.now)
        rows = node.neighbours.rows
        assert len(rows) == 16 and max([len(r.offers) for r in rows]) <= 8
        assert node.hearing.rejects[4] > 4000


def test_clock_hears_each_neighbour_that_the_table_has_room_for():
    with Folder() as root:
        world = World(root, 1)
        node = world.stations[0].node
        sent = []
        node.speech._send = lambda buf, n: sent.append(bytes(buf[:n]))
        world.run(3)
        beacon = [d for d in sent if d[4] == 1][0]
        for i in range(len(node.neighbours.rows)):
            data = bytearray(beacon)
            data[16:24] = bytes([i + 9] * 8)  # nonce
            assert node.hearing.receive(bytes([i + 9] * 20), data, len(data), world.now) == 0
        world.run(10)
        assert len(of_node(node, world.now)["neighbours"]) == len(node.neighbours.rows)


class Shell:
    def __init__(self):
        self.did = []

    def tell_switch(self, now):
        self.did.append("tell")

    def close_idle(self):
        self.did.append("close")

    def save_time(self, now):
        self.did.append("save")


def test_turn_tells_closes_and_saves_the_time_hourly_and_says_when_it_is_to_come_again():
    with Folder() as root:
        world = World(root, 1)
        s = world.stations[0]
        shell = Shell()
        news, wake = s.node.turn(s.serve, shell, world.now)
        assert shell.did == ["tell"] * news + ["close"] and wake == s.node.next_at
        s.serve.next_at = world.now + 1
        assert s.node.turn(s.serve, shell, world.now)[1] <= world.now + 1
        shell.did.clear()
        later = world.now + 3600000000
        assert s.node.turn(s.serve, shell, later)[0] and shell.did == ["tell", "close", "save"]
        shell.did.clear()
        assert s.node.turn(s.serve, shell, later + 1)[1] > later and "save" not in shell.did


def test_one_address_on_several_nodes_is_said_once():
    with Folder() as root:
        world = World(root, 2)
        node = world.stations[1].node
        sent = []
        world.put = lambda source, peer, sport, port, buf, n: sent.append(bytes(buf[:n]))
        world.run(3)
        beacon = [d for d in sent if d[4] == 1][0]
        said = []
        node.log.warn = said.append
        for twins, more in ((1, 0), (2, 1), (3, 1), (5, 1)):
            said.clear()
            node.hearing._twice_said = False
            for i in range(100):
                data = bytearray(beacon)
                data[16:24] = bytes([i % twins + 1] * 8)  # nonce
                peer = bytes([254, 128] + [twins] * 18)
                node.hearing.receive(peer, data, len(data), world.now)
            assert len(said) == more, (twins, said)
            assert not more or "of several nodes" in said[0]


def test_superseded_release_costs_no_signature_check_whatever_is_said_of_it():
    with Folder() as root:
        world = World(root, 6)
        victim = world.stations[0]
        victim.hears = []
        assert victim.store.add(manifest("1.1.0", revision=2), SIGNATURES)[1] is None
        trust = victim.store.catalogue._trust
        checks = []
        true_check = trust.check
        trust.check = lambda *args: checks.append(1) or true_check(*args)
        for liar in world.stations[1:]:
            liar.hears = [victim]
            assert liar.store.add(manifest("1.1.0", revision=1), SIGNATURES)[1] is None
            writer = liar.node.speech.writer
            writer.release = boasting(writer.release)
        asked = set()
        victim_put = world.put
        world.put = lambda source, peer, sport, port, buf, n: (
            asked.add(bytes(buf[:n]).split(b"/")[-1][:8]) if source is victim else None,
            victim_put(source, peer, sport, port, buf, n),
        )
        world.run(60)
        assert any([what == b"manifest" for what in asked])
        assert checks == [] and b"signatur" not in asked


def boasting(release):
    """Says of each release that it is of the highest revision."""
    return lambda rid, version, revision, flags: release(rid, version, 65535, flags)


def test_of_key_sets_the_next_one_alone_is_asked_for_and_before_all_else():
    with Folder() as root:
        station = World(root, 1).stations[0]  # which holds no key set
        node = station.node
        peer = bytes([5] * 20)

        def offered(*versions):
            buf, n = announcement(station, releases=versions)
            assert node.hearing.receive(peer, buf, n, 1000) == 0
            return node.neighbours.rows[0].offers

        assert offered((0, 0, 2), (0, 0, 3), (0, 0, 0), (0, 0, 65535)) == []
        others = [(1, i, 0) for i in range(12)]
        assert offered(*others) == [rid_of(v) for v in others[:8]]
        assert offered((0, 0, 2), (0, 0, 1)) == [rid_of((0, 0, 1))]
        assert offered((0, 0, 1), (1, 0, 0)) == [rid_of((0, 0, 1))]
        node.fetch.outcomes.refuse(node.neighbours.rows[0], rid_of((0, 0, 1)), "", "a lie", 1000)
        assert offered((0, 0, 1), (0, 0, 2), (1, 0, 0)) == [rid_of((1, 0, 0))]


def rid_of(version):
    return bytes([version[0], version[1] & 255, version[2] & 255] + [7] * 29)


def announcement(station, *payloads, releases=()):
    """Of a neighbour, with releases of these versions, and TLVs of (pid, flags, total, held)."""
    w = datagram.Writer(station.store.catalogue._trust.network, 99, lambda n: n - 1)
    w.announce(b"someones", 0, 7)
    for version in releases:
        assert w.release(rid_of(version), version, 0, 0)
    for pid, flags, total, held in payloads:
        assert w.payload(pid, flags, total, held)
    return w.buf, w.n


def test_what_neighbours_say_of_payloads_fills_no_table_and_raises_nothing():
    with Folder() as root:
        world = World(root, 1)
        station = world.stations[0]
        inject(station)
        node = station.node
        for i in range(3000):
            pid = PAYLOAD.pid if i % 5 == 0 else bytes([i & 255, i >> 8] * 16)
            flags, total, held = i * 7 % 256, i * 331 % 65536, i * 977 % 65536
            buf, n = announcement(station, (pid, flags, total, held))
            assert node.hearing.receive(bytes([5 + i % 3] * 20), buf, n, world.now) == 0
            node.tick(world.now)
            world.now += 1000
        for row in node.neighbours.rows:
            assert len(row.wants) <= MAX_PAYLOADS and len(row.pieces) <= MAX_PAYLOADS
        assert len(node.relay._soon) + len(node.relay._helped) <= 32


def test_neighbours_made_up_each_with_another_set_draw_one_query_a_second_at_most():
    with Folder() as root:
        world = World(root, 1)
        station = world.stations[0]
        node = station.node
        asked = []
        send = node.speech._send

        def counted(buf, n):
            if buf[4] == datagram.QUERY:
                asked.append(world.now)
            send(buf, n)

        node.speech._send = counted
        world.run(3)
        asked.clear()
        for i in range(400):
            buf, n = announcement(station)
            buf[24:32] = bytes([1 + i % 251] * 8)  # set digest
            node.hearing.receive(bytes([1 + i % 16] * 20), buf, n, world.now)
            world.run(0.05)
        assert 10 < len(asked) < 22, len(asked)
        assert min([b - a for a, b in zip(asked, asked[1:])]) >= 1000000


def test_old_wishes_give_way_to_new_ones():
    with Folder() as root:
        station = World(root, 1).stations[0]
        node = station.node
        for when, first in ((1000, 0), (2000, 50), (2000 + WANT_US, 100)):
            for i in range(MAX_PAYLOADS):
                buf, n = announcement(station, (bytes([first + i] * 32), datagram.WANTED, 0, 0))
                node.hearing.receive(bytes([5] * 20), buf, n, when)
            wants = sorted(node.neighbours.rows[0].wants)
            assert wants[0][0] == (100 if first == 100 else 0) and len(wants) == MAX_PAYLOADS


def test_status_says_what_fits_what_is_held_and_what_is_relayed():
    with Folder() as root:
        world = World(root, 3, boards=("c", BOARD, "c"))
        world.run(10)
        inject(world.stations[0], TWO)
        world.run(60, lambda: whole(world.stations[2]))
        status = of_node(world.stations[1].node, world.now)
        (r,) = status["releases"]
        assert (r["fits"], r["invited"], r["complete"], r["kind"]) == (True, True, False, "slot")
        assert (r["held"], r["total"], r["percent"]) == (0, 0, 0)
        assert status["relaying"][0]["percent"] == 100
        (r,) = of_node(world.stations[2].node, world.now)["releases"]
        assert (r["held"], r["total"], r["percent"], r["complete"]) == (4, 4, 100, True)
