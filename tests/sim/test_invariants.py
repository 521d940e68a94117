"""Each rule is broken once, on purpose: a check that has never failed is no check."""

import pytest

from swdist import switchd
from swdist.crypto.ucryptolib import sha256
from swdist.formats.index import DIGEST_BYTES
from swdist.formats.manifest import parse
from swdist.storage.chunks import Chunks
from swdist.trust import verify
from swdist_host.sim import disk, record, runner, scenario, simulation, station, swarm, topology
from swdist_host.sim.besiegers import KINDS
from swdist_host.sim.invariants import Violation
from swdist_host.sim.traitors import Spoiler


def mesh(nodes=3, **settings):
    sim = simulation.Simulation(
        topology.make("line", nodes, 1), 1, station.Settings(clock="right", **settings)
    )
    sim.boot()
    sim.run(10)
    return sim


def covered(sim, size=40000, **more):
    swd = sim.release("1.1.0", size=size, **more)
    sim.inject(0, swd)
    sim.run(60)
    assert sim.coverage(swd.rid) == len(sim.stations)
    return swd


def broken(sim, rule, seconds=400):
    with pytest.raises(Violation) as caught:
        sim.run(seconds)
    assert caught.value.rule == rule


def test_release_that_the_ca_has_not_signed_is_noticed():
    sim = mesh()
    covered(sim)
    del sim.authority.released[next(iter(sim.authority.released))]
    sim.checks._truth.clear()
    sim.stations[1].down()
    with pytest.raises(Violation) as caught:
        sim.stations[1].boot()
    assert caught.value.rule == "unverified"


def rekeyed(keep=True):
    """A mesh that has changed its keys; and the release from before, kept or dropped by all."""
    sim = mesh()
    swd = covered(sim)
    change = sim.authority.rekey(sim.now_s(), [swd] if keep else [])
    sim.inject(0, change)
    sim.run(60)
    assert sim.coverage(change.rid) == 3 and sim.coverage(swd.rid) == (3 if keep else 0)
    return sim, swd


def test_release_of_a_key_set_that_is_no_longer_in_force_is_noticed():
    sim, _ = rekeyed()
    stolen = sim.authority.steal("9.0.0", sim.now_s(), sim.payloads("stolen", 20000))
    s = sim.stations[1]
    assert sim.put(s, stolen) == (False, "signatures: 0 of the 2 needed")
    s.trust._sets.reverse()  # the old one is in force again
    with pytest.raises(Violation) as caught:
        sim.put(s, stolen)
    assert caught.value.rule == "unverified" and "key set 1 is in force" in caught.value.text


def test_release_that_outlives_its_keys_though_nobody_keeps_it_is_noticed(monkeypatch):
    from swdist.trust.verify import Trust

    monkeypatch.setattr(Trust, "trusts", lambda *_: True)
    with pytest.raises(Violation) as caught:
        rekeyed(keep=False)
    assert caught.value.rule == "unverified" and "key set 1 is in force" in caught.value.text


def test_kept_release_that_is_dropped_with_its_keys_is_noticed(monkeypatch):
    from swdist.trust.verify import Trust

    monkeypatch.setattr(Trust, "trusts", lambda self, rid: rid in self._chain)
    check = Trust.check

    def forgetful(self, *release):
        self._keep = []
        return check(self, *release)

    monkeypatch.setattr(Trust, "check", forgetful)
    with pytest.raises(Violation) as caught:
        rekeyed()
    assert caught.value.rule == "durable"


def test_change_of_keys_that_does_not_reach_all_is_noticed(monkeypatch):
    from swdist.trust.verify import Trust

    monkeypatch.setattr(Trust, "next_set", lambda _: 0)  # so nobody asks for it
    sim = mesh()
    sim.inject(0, sim.authority.rekey(sim.now_s()))
    with pytest.raises(Violation) as caught:
        for _ in range(100):
            sim.run(60)
    assert caught.value.rule == "liveness"


def test_wrong_bytes_in_a_held_chunk_are_noticed():
    sim = mesh()
    swd = sim.release("1.1.0", size=40000)
    sim.inject(0, swd)
    s = sim.stations[1]
    share = s.fs.share
    s.fs.share = lambda data: share(bytes(data)[:-1] + b"!" if len(data) > 8192 else data)
    broken(sim, "unverified", 60)


def test_wrong_file_in_the_active_slot_is_noticed():
    sim = mesh()
    swd = covered(sim, start_s=sim.now_s() + 120)
    root = sim.stations[2].switch.slots.path(swd.rid)
    sim.stations[2].fs.files[root + "/etc/settings"].set(b"changed")
    broken(sim, "unverified")


def test_experiment_that_does_not_end_is_noticed():
    sim = mesh()
    now_s = sim.now_s()
    covered(sim, start_s=now_s + 20, end_s=now_s + 120)
    for r in sim.stations[0].switch.switcher.choosing.releases:
        r.manifest.end_s += 1000
    broken(sim, "experiment")


def test_another_version_than_equal_sets_and_time_give_is_noticed():
    sim = mesh()
    covered(sim)
    switcher = sim.stations[1].switch.switcher
    switcher.choosing.best = lambda *_: switcher.choosing.factory
    broken(sim, "agreement", 800)


def test_payload_of_another_board_that_runs_is_noticed(monkeypatch):
    sim = mesh(boards=2)
    for s in sim.stations:
        s.store.room.here.board = s.switch.here.board = "board0"
    sim.inject(0, sim.release("1.1.0", size=20000, boards=2))
    broken(sim, "board")


def test_release_without_anything_for_a_board_that_runs_there_is_noticed():
    sim = mesh(boards=2)
    swd = sim.release("1.1.0", size=20000, boards=1)
    sim.inject(0, swd)
    sim.run(60)
    sim.checks.truth(swd.rid).fits = lambda board: None
    with pytest.raises(Violation) as caught:
        sim.checks._slot(sim.stations[1], swd.rid)
    assert caught.value.rule == "board"


@pytest.mark.parametrize("share", (1, 0))
def test_experiment_on_a_node_that_is_not_invited_is_noticed(monkeypatch, share):
    from swdist.trust.choose import Here

    sim = mesh(group_every=2)
    audience = {"share": share} if share else {"groups": ["testers"]}
    now_s = sim.now_s()
    sim.inject(0, sim.release("1.1.0", size=20000, end_s=now_s + 3600, **audience))
    monkeypatch.setattr(Here, "invited", lambda *_: True)
    broken(sim, "audience")


def test_own_payload_that_is_given_up_is_noticed():
    sim = mesh()
    swd = covered(sim)
    store = sim.stations[1].store
    store._forget(swd.payloads[0].pid, "to make room")
    broken(sim, "relay", 20)


def test_switch_against_the_wish_of_the_owner_is_noticed():
    sim = mesh()
    covered(sim, start_s=sim.now_s() + 100)
    sim.stations[1].set_hold()
    sim.stations[1].switch.switcher.choosing.on_hold = False
    broken(sim, "hold")


@pytest.mark.parametrize("anew", (False, True))
def test_clock_below_the_newest_signature_is_noticed(anew):
    sim = mesh()
    covered(sim)
    if anew:
        sim.stations[1].down()
        sim.stations[1].boot()
    sim.stations[1].clock.offset_us -= 3600 * 10**6
    broken(sim, "floor")


def test_table_that_grows_is_noticed():
    sim = mesh()
    row = sim.stations[1].node.neighbours.rows[0]
    row.offers += [bytes([i]) * 32 for i in range(20)]
    broken(sim, "bounds", 5)


def test_memory_that_grows_is_noticed():
    sim = mesh()
    for s in sim.stations:
        s.node.hearing.rejects += [0] * 20000
    broken(sim, "bounds", 5)


def test_lost_factory_release_is_noticed():
    sim = mesh()
    sim.stations[1].switch.slots.fail(bytes(32), "gone")
    broken(sim, "factory", 5)


def test_chunk_that_was_flushed_and_is_lost_is_noticed():
    sim = mesh()
    swd = covered(sim)
    s = sim.stations[1]
    s.down()
    del s.fs.files[f"/store/payloads/{swd.payloads[0].pid.hex()}/payload"]
    with pytest.raises(Violation) as caught:
        s.boot()
    assert caught.value.rule == "durable"


def test_release_that_does_not_arrive_is_noticed():
    sim = mesh()
    swd = sim.release("1.1.0", size=40000)
    sim.stations[1].open = lambda name: None
    sim.stations[1].transfer.serve._open = lambda name: None
    sim.inject(0, swd)
    with pytest.raises(Violation) as caught:
        for _ in range(100):
            sim.run(60)
    assert caught.value.rule == "liveness" and caught.value.station == 2


def test_clock_that_is_led_astray_is_noticed():
    sim = mesh()
    sim.checks.clock_error_us = 1000000
    sim.run(60)
    assert sim.stations[1].clock.synced
    sim.stations[1].clock.offset_us += 3 * 10**6
    broken(sim, "clock", 0)


def beside(kind, seconds=400, start="20s"):
    """What comes of a run in which node 1, in the middle, is an attacker."""
    return runner.run(
        scenario.parse(
            {
                "duration": f"{seconds}s",
                "topology": {"kind": "line", "nodes": 3},
                "node": {"clock": "right"},
                "release": [{"name": "a", "version": "1.1.0", "size": "40K", "start": start}],
                "attacker": [{"kind": kind, "nodes": [1]}],
                "do": [{"at": "10s", "what": "inject", "release": "a"}],
            }
        )
    )


def test_signatures_that_are_checked_in_vain_for_ever_are_noticed():
    sim = mesh()
    strangers = [sim.authority.stranger] * 2
    forged = sim.authority.build(
        "9.0.0", sim.now_s(), sim.now_s(), withdraw=True, signers=strangers
    )
    for _ in range(20):
        sim.stations[1].store.add(forged.manifest, forged.signatures)
    broken(sim, "signatures", 5)


def test_signatures_that_nobody_can_check_and_that_are_kept_are_noticed(monkeypatch):
    assert beside("junk-signatures").ok
    monkeypatch.setattr("swdist.trust.verify.MAX_SPARE_BYTES", 1 << 20)
    assert beside("junk-signatures").violation.rule == "signatures"


@pytest.mark.parametrize("kind", ("queries", "false-port"))
def test_announcements_that_a_neighbour_causes_without_end_are_noticed(monkeypatch, kind):
    from swdist.machines.announce import Announce

    assert beside(kind).ok
    monkeypatch.setattr(Announce, "query", Announce.inconsistent)
    monkeypatch.setattr("swdist.wiring.hearing.RESET_GAP_US", 0)
    assert beside(kind).violation.rule == "amplification"


def test_windows_of_small_blocks_are_noticed(monkeypatch):
    assert beside("small-blocks", 60).ok
    monkeypatch.setattr("swdist.formats.tftp.DEFAULT_BLKSIZE", 8)
    assert beside("small-blocks", 60).violation.rule == "amplification"


def test_integers_that_nobody_bounds_are_noticed(monkeypatch):
    assert beside("extremes").ok
    monkeypatch.setattr("swdist.machines.clock.TIME_MAX_US", 1 << 80)
    assert beside("extremes").violation.rule in ("crash", "floor")


@pytest.mark.parametrize("kind", ("turncoat", "babbler"))
def test_switches_back_and_forth_without_end_are_noticed(monkeypatch, kind):
    assert beside(kind, 60, "10d").ok
    monkeypatch.setattr("swdist.machines.switcher.Pace.free", lambda *_: True)
    assert beside(kind, 60, "10d").violation.rule == "pace"


def test_message_between_the_two_sides_that_is_not_parsed_is_noticed(monkeypatch):
    from struct import unpack_from

    monkeypatch.setattr("swdist.formats.ipc.parse", lambda data: unpack_from("!BQqIBB", data))
    assert beside("babbler", 60).violation.rule == "crash"


@pytest.fixture
def spoils(monkeypatch):
    """Spoilers do that alone, in a run that is over before they are honest."""

    def run(how):
        def boot(self):
            Spoiler.__mro__[1].boot(self)
            self._ways = [getattr(self, how)]

        monkeypatch.setattr(Spoiler, "_junk", 0, raising=False)
        monkeypatch.setattr(Spoiler, "boot", boot)
        return beside("spoiler", 200)

    return run


def test_release_that_only_the_network_side_has_checked_is_noticed(monkeypatch, spoils):
    assert spoils("_forge").ok

    def check(self, rid, path):
        self.trust.check, checked = credulous, self.trust.check
        known(self, rid, path)
        self.trust.check = checked

    def credulous(manifest, signatures):
        return verify.Release(parse(manifest)[0]), None

    known = switchd.Switchd._check
    monkeypatch.setattr(switchd.Switchd, "_check", check)
    done = spoils("_forge")
    assert done.violation.rule == "unverified" and "runs" in done.violation.text


def test_names_in_the_store_without_end_are_noticed(monkeypatch, spoils):
    assert spoils("_fill").ok
    monkeypatch.setattr(disk.Fs.listdir, "__defaults__", (1 << 30,))
    done = spoils("_fill")
    assert done.violation.rule == "bounds" and "at once" in done.violation.text


def test_looks_at_what_nobody_has_signed_without_end_are_noticed(monkeypatch, spoils):
    monkeypatch.setattr(switchd, "CHECKS", 1 << 30)
    done = spoils("_fill")
    assert done.violation.rule == "bounds" and "looked at" in done.violation.text


def test_bytes_that_are_not_read_again_are_noticed(monkeypatch, spoils):
    assert spoils("rot").ok

    def chunk(self, digest, sent, *more):
        view = self._read("/payload", self._chunks_end, sent)
        return known(self, sha256(view)[:DIGEST_BYTES], sent, *more)

    known = Chunks._chunk
    monkeypatch.setattr(Chunks, "_chunk", chunk)
    monkeypatch.setattr(Chunks, "_end", lambda self: setattr(self, "view", None))
    assert spoils("rot").violation.rule == "unverified"


def test_neighbours_behind_an_interface_that_is_gone_are_not_reached(monkeypatch):
    sim = mesh()
    sim.stations[1].renew()
    sim.checks.changed()
    assert sim.world.radio.whom(1, sim.stations[0].peer) is None
    covered(sim)
    sim.stations[1].deliver = lambda *_: None
    sim.inject(0, sim.release("1.2.0", size=40000))
    broken(sim, "liveness", 4000)


def test_siege_that_takes_too_long_is_noticed(monkeypatch):
    def jam(self):
        self.world.radio.claim(self.number, None, self.gap_us - 10000)

    monkeypatch.setattr("swdist_host.sim.besiegers.Queries.attack", jam)
    s = scenario.load("siege")
    s.attackers[0]["kind"] = "queries"
    assert runner.run(s).violation.rule == "siege"


def test_links_that_swallow_large_frames_are_noticed(monkeypatch):
    def done():
        s = scenario.load("one-injection")
        s.topology["nodes"] = 4
        s.radio = {"mtu_share": 1.0}
        s.duration = 100
        s.expect = {"covered": ["a"]}
        return runner.run(s)

    assert done().ok
    monkeypatch.setattr("swdist.machines.tftpget.NOTHING_TRIES", 1000)
    assert done().violation.rule == "expected"


def test_exception_in_device_code_is_a_violation_with_its_place(monkeypatch):
    from swdist.machines import announce

    monkeypatch.setattr(announce, "say", lambda *_: 1 / 0)
    s = scenario.parse({"duration": "20s", "topology": {"kind": "line", "nodes": 2}})
    done = runner.run(s)
    assert done.violation.rule == "crash" and "ZeroDivisionError" in done.violation.text


def test_violation_prints_seed_event_and_history():
    s = scenario.load("one-injection")
    s.topology["nodes"] = 5
    s.duration = 80
    s.expect = {"active": "7.0.0"}
    text = runner.story(runner.run(s))
    assert "'expected' with seed 1 after 80.0" in text
    assert "injected at node 0" in text and "holds manifest" in text


def test_swarm_draws_each_attacker_and_each_fault():
    drawn = [swarm.draw(seed) for seed in range(500)]
    assert {a["kind"] for data in drawn for a in data["attacker"]} == set(KINDS)
    done = {a["what"] for data in drawn for a in data["do"]}
    assert done == set(scenario._WHAT)
    assert any(data["radio"].get("mtu_share") for data in drawn)


def test_shrinking_keeps_the_rule_and_makes_the_scenario_smaller():
    data = swarm.draw(16)
    data["duration"] = "90s"
    data["topology"] = {"kind": "grid", "nodes": 6}
    data["do"] = [
        {"at": "10s", "what": "down", "nodes": "30%"},
        {"at": "20s", "what": "up", "nodes": "off"},
    ]
    data["expect"] = {"active": "7.0.0"}
    found = swarm.verdict(data)
    small = swarm.shrink(found, 20)
    assert not small.ok and small.rule == found.rule == "expected"
    assert small.data["do"] == small.data["attacker"] == small.data["release"] == []
    assert small.data["topology"] == {"kind": "line", "nodes": 2}


# --- the flash


def files(fs):
    return {path: inode.whole() for path, inode in fs.files.items()}


def test_power_cut_keeps_what_was_flushed_and_tears_the_rest():
    for seed in range(200):
        rand = simulation.random.Random(seed).randrange
        fs = disk.Fs(rand)
        fs.mkdirs("/a")
        fs.write_atomic("/a/f", b"old")
        with fs.open("/a/g", "wb") as f:
            f.write(b"flushed")
            fs.sync(f)
            f.write(b" and not")
        fs.open("/a/f.tmp", "wb").write(b"new")
        fs.rename_only("/a/f.tmp", "/a/f")
        fs.power_cut()
        left = files(fs)
        assert left["/a/g"].startswith(b"flushed")
        assert left["/a/f"] == b"old" or b"new".startswith(left["/a/f"])


def test_power_cut_in_the_midst_of_an_atomic_write_leaves_the_old_file_or_the_new_one():
    seen = set()
    for steps in range(8):
        for seed in range(50):
            fs = disk.Fs(simulation.random.Random(seed).randrange)
            fs.mkdirs("/a")
            fs.write_atomic("/a/f", b"old")
            fs.cut_after = steps
            try:
                fs.write_atomic("/a/f", b"new")
            except disk.PowerCut:
                fs.power_cut()
            seen.add(files(fs)["/a/f"])
    assert seen == {b"old", b"new"}


def test_record_of_a_node_names_all_that_came_and_went():
    sim = simulation.Simulation(topology.make("line", 2, 1), 1, station.Settings(clock="right"))
    tap = record.Tap(sim.stations[0])
    sim.boot()
    sim.run(20)
    assert {line[0] for line in tap.lines} >= set("BNTAr>")
