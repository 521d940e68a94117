"""The switcher in virtual time: what can come between a release and its second."""

from logs import Log

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import to_hex
from swdist.formats.manifest import Payload
from swdist.machines import pace, switcher
from swdist.trust import choose, verify
from swdist.trust.choose import FACTORY
from swdist.trust.dates import Dates

S = 1000000  # microseconds in a second


class Nothing:
    """Of a file: it is not there, and can't be made."""

    def read(self, path, limit):
        return None

    def write_atomic(self, path, data):
        raise OSError(30)


class Disk:
    """Slots in memory, with the same methods. `broken` names the methods that fail."""

    def __init__(self):
        self.dates = Dates(Nothing(), "")
        self.whole = []
        self.store = []
        self.pointer = self.sure = FACTORY
        self.bad = []
        self.why = []  # all reasons that were ever given
        self.powerless = []  # of the bad ones those that may have lacked power
        self.company_was = False
        self.with_code = []
        self.broken = ()
        self.steps = 3
        self.step_us = 0
        self.calls = []
        self.prepare_why = None
        self.for_good = False

    def _write(self, what):
        self.calls.append(what)
        if what in self.broken:
            raise OSError(28)

    def offered(self, p):
        return p.kind in ("slot", "ipk") and p.pid in self.store

    def prepared(self, rid):
        return rid == FACTORY or rid in self.whole

    def prepare(self, release, p):
        self.calls.append("prepare")
        return Prepare(self, release, p)

    def active(self):
        return self.pointer

    def confirmed(self):
        return self.sure

    def has_code(self, rid):
        return rid in self.with_code

    def company(self):
        return self.company_was

    def activate(self, rid, company):
        self.company_was = company
        self._write("activate")
        assert self.prepared(rid)
        self.pointer = rid

    def confirm(self, rid):
        self._write("confirm")
        self.sure = rid

    def failed(self):
        return self.bad[:]

    def fail(self, rid, why):
        self.bad.append(rid)
        self.why.append(why)
        self._write("fail")

    def forgive(self, why):
        self._write("forgive")
        self.bad = [rid for rid in self.bad if rid not in self.powerless]

    def collect(self, keep):
        keep = list(keep) + [self.pointer, self.sure]
        self.whole = [r for r in self.whole if r in keep]


class Prepare:
    def __init__(self, disk, release, p):
        self.release = release
        self.payload = p
        self.why = None
        self.disk = disk
        self.left = disk.steps

    def step(self):
        self.left -= 1
        self.disk.world.now += self.disk.step_us
        if self.left > 0:
            return True
        self.why = self.disk.prepare_why
        self.for_good = self.disk.for_good
        if self.why is None:
            self.disk.whole.append(self.release.rid)
        return False


class World:
    Machine = switcher.Switcher

    def __init__(self, start_s=1000, confirm_s=60):
        self.disk = Disk()
        self.disk.world = self
        self.now = start_s * S
        self.offset = 0
        self.synced = True
        self.neighbours = 1
        self.confirm_s = confirm_s
        self.releases = []
        self.records = []
        self.ticked = []
        self.status = {}  # (version, hook): exit status
        self.hooks = []  # (version, hook, second)
        self.told = []  # the same of hooks that decide nothing
        self.quiet = False  # the network side says nothing
        self.on_hold = False
        self.boot()

    def boot(self, floor_s=0):
        self.log = Log()
        self.s = self.Machine(
            self.disk, choose.Here("b", ("slot", "ipk", "image")), choose.factory((1, 0, 0)),
            floor_s, self.confirm_s * S, self.hook, self.records.append, self.log, self.on_hold,
        )  # fmt: skip
        self.ready()
        self.s.set_releases(self.releases, self.now)
        self.s.start(self.now)

    def ready(self):
        """Of other switchers, what is to be done before they start."""

    def hook(self, release, name):
        hooks = self.told if name in ("prepare", "rollback") else self.hooks
        hooks.append((release.manifest.version[1], name, self.now // S))
        return self.status.get((release.manifest.version[1], name), 0)

    def add(self, minor, start, end=0, revision=0, signed=0, payload=None, held=True, none=False):
        """Version 1.minor.0. payload: what it holds, else something of its own."""
        m = choose.factory((1, minor, 0)).manifest
        m.revision, m.start_s, m.end_s, m.signed_at_s = revision, start, end, signed
        m.experimental, m.withdrawn = end > 0, none
        m.rid = sha256(b"%d-%d" % (minor, revision))
        p = Payload()
        p.kind, p.boards, p.size, p.stored = "slot", None, 1, 1
        p.pid = sha256((payload or to_hex(m.rid)).encode())
        m.payloads = () if none else (p,)
        r = verify.Release(m)
        self.releases = [x for x in self.releases if x.manifest.version != m.version] + [r]
        if held and not none:
            self.disk.store.append(p.pid)
        self.s.set_releases(self.releases, self.now)
        return r

    def tell(self):
        now = self.now
        self.s.set_time(now, self.offset, 1000, self.synced, self.neighbours, now)

    def run(self, until_s, every_us=S):
        """To that second of the counter; the network side tells the time every second."""
        tell_at = self.now
        ticks = 0
        while self.now < until_s * S:
            if self.now >= tell_at and not self.quiet:
                self.tell()
            if self.now >= tell_at:
                tell_at = self.now + every_us
            if self.s.next_at <= self.now:
                self.ticked.append(self.now)
                self.s.tick(self.now)
                ticks += 1
                assert ticks < 100000, "it spins"
            if self.s.next_at > self.now:
                self.now = min(self.s.next_at, tell_at, until_s * S)
        return self

    def story(self):
        return [(r["to"][2:3], r["at_us"] // S, r["reason"]) for r in self.records]


def test_switch_is_at_the_microsecond_in_mesh_time_and_its_record_says_all():
    w = World()
    w.offset = 5 * S + 250000
    r = w.add(1, 1020)
    w.run(1020)
    (record,) = w.records
    assert record == {
        "at_us": 1020 * S, "counter_us": 1014750000, "error_us": 1000, "synced": True,
        "from": "1.0.0-r0", "to": "1.1.0-r0", "id": to_hex(r.rid), "reason": "start",
    }  # fmt: skip
    assert w.disk.pointer == w.disk.sure == r.rid
    assert w.hooks == [(0, "activate", 1000), (1, "activate", 1014), (1, "health", 1015)]


def test_small_correction_backwards_at_the_start_does_not_undo_it():
    w = World()
    w.add(1, 1010)
    w.run(1010)
    w.s.tick(w.now)
    assert len(w.records) == 1
    w.offset = -400000
    w.tell()
    w.s.tick(w.now)
    w.run(1015)
    assert w.story() == [("1", 1010, "start")]
    assert w.s.mesh_us(w.now) == w.now - 400000  # it has waited, and goes on


def test_mesh_time_never_decreases_for_corrections_below_a_second_and_steps_for_more():
    w = World(start_s=9000)
    last = 0
    for offset in (0, -300000, 200000, -700000, -790000, 0):
        w.offset = offset
        w.tell()
        w.s.tick(w.now)
        assert w.s.mesh_us(w.now) >= last
        last = w.s.mesh_us(w.now)
        w.now += 1000
    lines = len(w.log.lines)
    w.offset = -3600 * S
    w.tell()
    assert w.s.mesh_us(w.now) == w.now - 3600 * S
    assert len(w.log.lines) == lines + 1 and "stepped" in w.log.lines[-1]


def test_time_before_what_the_ca_has_signed_is_not_believed():
    w = World()
    w.add(1, 500, signed=2000)
    w.offset = -100 * S
    w.run(1005)
    assert not w.s.synced and w.s.now_s(w.now) == 2000
    assert w.story()[0][0] == "1"  # stable, and started by then: also without a clock
    w.offset = 1500 * S
    w.run(1010)
    assert w.s.synced and w.s.now_s(w.now) == 2510


def test_date_far_ahead_of_a_clock_that_is_shared_is_a_mistake_and_no_time():
    for synced, neighbours, days, believed in (
        (True, 1, 182, False), (True, 1, 31, False), (True, 1, 29.9, True),
        (True, 0, 182, True), (False, 1, 182, True),
    ):  # fmt: skip
        w = World()
        w.add(1, 900)
        w.add(2, 1000 + 30 * 86400)
        w.synced, w.neighbours = synced, neighbours
        w.run(1010)
        dated = 1010 + int(days * 86400)
        w.add(3, dated + 86400, signed=dated)
        w.run(1020)
        assert (w.s.now_s(w.now) >= dated) == believed, (synced, neighbours, days)
        said = [line for line in w.log.lines if "is not believed" in line]
        assert len(said) == (not believed), said
        if not believed:
            assert w.s.synced and w.story() == [("1", 1000, "late")], w.story()
            w.add(3, 0, revision=1, signed=1015, none=True)  # the CA withdraws it
            w.run(1030)
            assert w.s.synced and w.s.now_s(w.now) == w.now // S


def test_kept_time_from_the_future_is_no_bound():
    w = World()
    w.boot(floor_s=9000)
    assert w.s.now_s(w.now) == 9000
    w.add(1, 1010)
    w.add(2, 8000)
    w.run(1005)
    assert w.s.synced and w.s.now_s(w.now) == 1005
    w.run(1020)
    assert w.story()[-1] == ("1", 1010, "start")


def back_and_forth(w, offsets, until_s):
    """Whoever tells the time says another one twenty times a second."""
    n = 0
    while w.now < until_s * S:
        w.offset = offsets[n % len(offsets)] * S
        n += 1
        w.tell()
        w.run((w.now + S // 20) / S)


def test_time_told_back_and_forth_switches_at_a_bounded_rate():
    w = World()
    w.add(1, 900)
    w.add(2, 5000)
    w.add(3, 8000, 9000)
    w.run(1010)
    before = len(w.records)
    back_and_forth(w, (0, 4500, 7500, 8500), 1030)
    assert 12 <= len(w.records) - before <= 25
    assert len([line for line in w.log.lines if "too often" in line]) < 5, w.log.lines
    back_and_forth(w, (0, 4500), 1630)
    assert len(w.records) - before <= 25 + 2 * 2
    # Once it is told the truth again it runs what is due, a little late.
    w.offset = 4500 * S
    w.run(2000)
    assert w.s.active.manifest.version == (1, 2, 0)


def test_what_is_prepared_and_thrown_away_again_is_so_at_a_bounded_rate():
    w = World()
    for minor in range(1, 9):
        w.add(minor, 1000 * minor, 1000 * minor + 500)
    w.run(1010)
    back_and_forth(w, (0, 9000), 1100)
    assert w.disk.calls.count("prepare") <= 64 + 8


def test_way_back_is_never_late_for_it():
    w = World()
    w.add(1, 900)
    w.add(2, 5000)
    w.add(3, 8000)
    w.run(1010)
    w.status[(3, "health")] = 1
    back_and_forth(w, (0, 4500), 1030)
    w.s.pace.until = w.now  # so that the sick one may begin
    back_and_forth(w, (7500,), 1031)
    assert w.s.active.manifest.version == (1, 3, 0)
    w.s.pace.until = w.now + 3600 * S
    back_and_forth(w, (7500,), 1100)
    assert w.disk.bad and w.records[-1]["reason"] == "rollback"


def test_restart_of_the_network_side_ends_no_experiment_but_a_long_silence_of_the_clock_does():
    w = World()
    w.add(1, 1005)
    w.add(2, 1010, 9000)
    w.run(1020)
    w.synced = False  # it has just started, and knows no time
    w.run(1100)
    assert [h[0] for h in w.story()] == ["1", "2"]
    w.run(1020 + switcher.HOLD_US // S + 5)
    assert [h[0] for h in w.story()] == ["1", "2", "1"]


def test_experiment_ends_in_time_also_when_nobody_tells_the_time_any_more():
    w = World()
    w.add(1, 1005)
    w.add(2, 1010, 5000)
    w.run(1100)
    w.quiet = True
    w.run(5001)
    assert w.story() == [("1", 1005, "start"), ("2", 1010, "start"), ("1", 5000, "end")]


def test_experiment_waits_for_the_stable_release_to_fall_back_to():
    w = World()
    stable = w.add(1, 1005, held=False)
    w.add(2, 1010, 2000)
    w.run(1030)
    assert w.story() == []
    w.disk.store.append(stable.manifest.payloads[0].pid)
    w.run(1100)
    assert w.story() == [("2", 1030, "late")] and stable.rid in w.disk.whole


def test_experiment_falls_back_to_the_factory_where_there_is_no_stable_release():
    w = World()
    w.add(2, 1010, 1020)
    w.run(1030)
    assert w.story() == [("2", 1010, "start"), ("0", 1020, "end")]


def test_slots_are_prepared_ahead_also_for_what_comes_after():
    w = World()
    a, b, c = w.add(1, 1005), w.add(2, 5000), w.add(3, 6000, 7000)
    w.run(1003)
    assert sorted(w.disk.whole) == sorted([a.rid, b.rid, c.rid])


def test_slot_of_a_running_experiment_is_kept_while_the_clock_is_unknown():
    w = World()
    w.add(1, 1005)
    e = w.add(2, 1010, 5000)
    w.run(1020)
    w.synced = False
    w.boot(floor_s=1010)
    w.run(1025)
    assert w.story()[-1][0] == "1" and e.rid in w.disk.whole
    w.synced = True
    w.run(1030)
    assert w.story()[-1][0] == "2"


def test_nothing_slow_is_begun_just_before_a_switch():
    w = World()
    w.add(1, 1010)
    w.run(1003)
    w.disk.steps, w.disk.step_us = 1 << 20, 100000
    late = w.add(2, 1020)
    w.run(1009)
    w.ticked = []
    w.run(1010)
    assert len(w.ticked) <= 3  # the time was told, but no step of the long preparation was made
    w.run(1010)
    w.s.tick(w.now)
    assert w.story() == [("1", 1010, "start")] and late.rid not in w.disk.whole


def test_new_revision_of_the_running_payload_does_not_fall_back_while_it_is_prepared():
    w = World()
    w.add(1, 1005)
    w.add(2, 1010, 3000, payload="p")
    w.run(1020)
    w.disk.steps = 50
    w.add(2, 1010, revision=1, payload="p")  # promoted: now it is stable
    w.run(1030)
    assert [r["to"] for r in w.records] == ["1.1.0-r0", "1.2.0-r0", "1.2.0-r1"]
    w.add(2, 1010, revision=2, none=True)
    w.run(1035)
    assert w.story()[-1] == ("1", 1030, "withdrawn")


def test_release_that_never_confirms_is_left_at_the_deadline_and_not_tried_before_a_new_revision():
    w = World(confirm_s=30)
    w.add(1, 1005)
    w.run(1010)
    bad = w.add(2, 1020)
    w.status[(2, "health")] = 1
    w.run(1100)
    assert w.story()[1:] == [("2", 1020, "start"), ("1", 1050, "rollback")]
    assert w.disk.bad == [bad.rid] and w.disk.why == [1]  # what the hook said
    tries = [h for h in w.hooks if h[:2] == (2, "health")]
    assert 4 <= len(tries) <= 8, tries  # not at each message
    w.boot()
    w.run(1200)
    assert len(w.records) == 3
    w.status = {}
    w.add(2, 1020, revision=1)
    w.run(1300)
    assert w.story()[3] == ("2", 1200, "late") and w.disk.sure == w.disk.pointer


def test_release_that_loses_all_neighbours_is_not_confirmed_but_a_lonely_node_can():
    for before, after, ends in ((2, 0, "rollback"), (0, 0, "start"), (2, 1, "start")):
        w = World(confirm_s=30)
        w.neighbours = before
        w.add(1, 1010)
        w.run(1011)
        w.neighbours = after
        w.run(1060)
        assert w.story()[-1][2] == ends, (before, after)


def test_silent_network_side_is_no_confirmation():
    w = World(confirm_s=30)
    w.add(1, 1010)
    w.run(1009)
    w.quiet = True
    w.run(1060)
    assert w.story() == [("1", 1010, "start"), ("0", 1040, "rollback")]


def test_failing_activate_hook_rolls_back_at_once_but_never_from_what_was_confirmed():
    w = World()
    w.add(1, 1005)
    w.run(1010)
    w.status[(1, "activate")] = w.status[(2, "activate")] = 3
    w.add(2, 1020)
    w.run(1021)
    assert w.story()[1:] == [("2", 1020, "start"), ("1", 1020, "rollback")]
    assert [h[:2] for h in w.hooks[-2:]] == [(2, "activate"), (1, "activate")]
    w.run(1100)
    assert len(w.records) == 3 and len(w.disk.bad) == 1


def test_many_releases_that_all_fail_end_at_the_factory():
    w = World()
    for minor in range(1, 40):
        w.status[(minor, "activate")] = 1
        w.add(minor, 900)
    w.run(1000 + 300 * 39)
    assert w.story()[-1][0] == "0" and w.disk.pointer == FACTORY
    assert len(w.disk.bad) == 39


def test_hook_that_a_power_cut_has_swallowed_runs_at_the_next_start():
    w = World()
    w.add(1, 1010)
    w.run(1009)
    r = w.releases[0]
    w.disk.activate(r.rid, False)  # and then the power went, before its hook
    w.boot()
    assert w.hooks == [(0, "activate", 1000), (1, "activate", 1009)]
    w.run(1020)
    assert w.disk.sure == r.rid
    w.boot()
    assert w.hooks[-1] == (1, "activate", 1020)  # also what is confirmed, after each boot


def test_power_cuts_never_condemn_a_release():
    w = World()
    w.add(1, 1005)
    w.run(1010)
    for _ in range(20):
        w.boot()
        w.now += 10 * S  # shorter than a trial
    w.run(1300)
    assert w.disk.bad == [] and w.s.active.manifest.version == (1, 1, 0)


def test_company_that_a_node_had_is_asked_for_also_after_a_boot():
    w = World(confirm_s=60)
    w.add(1, 1005)
    w.run(1004)
    w.quiet = True  # so that the trial can't end before the boot
    w.run(1006)
    assert w.s.active.manifest.version == (1, 1, 0)
    w.quiet = False
    w.neighbours = 0
    w.boot()
    w.run(1100)
    assert len(w.disk.bad) == 1 and w.disk.sure == FACTORY


def test_code_that_is_no_longer_due_makes_the_process_end():
    w = World()
    a = w.add(1, 1005)
    b = w.add(2, 1100)
    w.add(3, 1200)
    w.disk.with_code = [b.rid]
    w.run(1010)
    assert w.s.active is a and not w.s.restart_due
    w.run(1101)
    assert w.s.active is b and w.s.restart_due and w.hooks[-1] == (2, "activate", 1100)
    w.boot()
    w.run(1150)
    assert w.disk.sure == b.rid and not w.s.restart_due
    w.run(1201)
    assert w.s.active.manifest.version == (1, 3, 0) and w.s.restart_due


def test_what_the_launcher_has_left_is_left_with_a_record_and_the_hook_by_the_code_before():
    for with_code in (True, False):  # does what it goes back to bring its own?
        w = World()
        a = w.add(1, 1005)
        w.run(1010)
        b = w.add(2, 1020)
        w.disk.with_code = [a.rid, b.rid] if with_code else [b.rid]
        w.boot()  # with the code of a, or the image's
        w.run(1021)
        assert w.s.active is b and w.s.restart_due
        w.disk.bad.append(b.rid)  # the launcher: b's switchd does not start
        del w.told[:]
        w.synced = False
        w.boot(floor_s=1020)
        assert w.told == [(2, "rollback", 1021)] and w.hooks[-1][0] == 2
        w.run(1022)
        assert w.disk.pointer == w.disk.sure == a.rid and not w.s.restart_due
        assert w.story()[-1] == ("1", 1021, "rollback") and not w.records[-1]["synced"]
        assert w.records[-1]["from"] == "1.2.0-r0" and w.hooks[-1] == (1, "activate", 1021)
        w.boot(floor_s=1020)
        w.run(1030)
        told = [hook for _, hook, _ in w.told]
        assert len(w.records) == 3 and told.count("rollback") == 1  # said once
        c = w.add(3, 1040)
        w.synced = True
        w.run(1045)
        assert w.s.active is c and w.s.restart_due == with_code


def test_what_the_launcher_has_left_for_other_code_than_is_due_by_now_ends_the_process():
    w = World()
    a = w.add(1, 1005)
    w.run(1010)
    b = w.add(2, 1020)
    w.disk.with_code = [a.rid, b.rid]
    w.boot()
    w.run(1021)
    w.disk.bad.append(b.rid)
    w.add(1, 1005, revision=1, none=True)  # a, meanwhile withdrawn
    w.boot()
    w.run(1022)
    assert w.s.active.rid == FACTORY and w.s.restart_due


def test_time_goes_on_in_the_next_process():
    w = World()
    w.add(1, 1005, 1300)
    w.run(1010)
    before = w.s
    now = w.now
    w.quiet = True
    w.boot()
    w.s.set_time(*before.time(now), now)
    w.s.start(now)
    assert w.s.synced and w.s.mesh_us(now) == before.mesh_us(now)
    w.s.set_time(w.now, 0, 0xFFFFFFFF, False, 0, w.now)  # the new network side knows nothing yet
    w.s.tick(w.now)
    assert w.s.active.manifest.version == (1, 1, 0)


def test_release_that_may_have_lacked_power_gets_one_more_chance_after_an_hour():
    w = World()
    a = w.add(1, 1005)
    w.disk.bad = [a.rid]
    w.disk.powerless = [a.rid]
    w.boot()
    w.run(1000 + 3590)
    assert w.disk.bad == [a.rid] and w.s.active.rid == FACTORY
    w.run(1000 + 3800)
    assert w.disk.bad == [] and w.s.active is a and w.disk.sure == a.rid


def test_active_release_that_is_gone_from_the_store_is_left_by_a_recorded_switch():
    w = World()
    w.add(1, 1005)
    w.run(1010)
    w.releases = []
    w.boot()
    w.run(1012)
    assert w.story()[-1] == ("0", 1010, "withdrawn") and w.disk.pointer == FACTORY


def test_slot_that_has_vanished_is_not_activated():
    w = World()
    w.add(1, 1005)
    w.run(1003)
    w.disk.whole = []
    w.disk.store = []
    w.run(1010)
    assert w.story() == [] and w.disk.pointer == FACTORY


def test_disk_that_fails_never_ends_it_and_never_condemns_a_release():
    for what in ("activate", "confirm"):
        w = World(confirm_s=30)
        w.disk.broken = (what,)
        r = w.add(1, 1005)
        w.run(1200)
        w.boot()
        w.run(1400)
        assert w.disk.bad == [], what
        assert w.disk.calls.count(what) <= 45  # tried again, but not at each message
        w.disk.broken = ()
        w.run(1600)
        assert w.disk.pointer == w.disk.sure == r.rid, what


def test_failed_write_of_a_record_or_of_a_failure_changes_nothing_else():
    w = World(confirm_s=30)

    def full(record):
        w.records.append(record)
        raise OSError(28)

    w.s._record = full
    w.disk.broken = ("fail",)
    w.add(1, 1005)
    w.add(2, 1020)
    w.status[(2, "health")] = 1
    w.run(1100)
    assert [h[0] for h in w.story()] == ["1", "2", "1"]
    assert (1, "activate", 1005) in w.hooks


def test_failure_at_the_start_that_can_not_be_written_does_not_end_it():
    w = World()
    w.add(1, 1005)
    w.run(1005)
    w.quiet = True
    w.s.tick(w.now)
    w.status[(1, "activate")] = 1
    w.disk.broken = ("fail",)
    w.boot()
    w.quiet = False
    w.run(1020)
    assert w.story()[-1] == ("0", 1005, "rollback")


def test_what_failed_or_has_ended_is_left_at_once_also_while_the_next_is_yet_to_be_prepared():
    for end in (0, 1020):
        w = World(confirm_s=10)
        slot = w.add(1, 900)
        w.run(1005)
        w.add(2, 1010, end)
        if not end:
            w.status[(2, "health")] = 1
        w.run(1015)
        w.disk.sure = FACTORY
        w.disk.whole.remove(slot.rid)
        w.disk.steps, w.disk.step_us = 60, 100000
        w.run(1050)
        assert w.story()[1:3] == [("2", 1010, "start"), ("0", 1020, "end" if end else "rollback")]
        assert w.story()[-1][0] == "1"


def test_fault_of_the_store_or_disk_is_tried_again_once_an_hour_and_one_of_the_archive_never():
    w = World()
    w.disk.prepare_why, w.disk.for_good = "archive: disk: 28", False  # whatever the text is
    r = w.add(1, 1005)
    w.run(1000 + 86400, every_us=30 * S)
    tries = w.disk.calls.count("prepare")
    assert 24 <= tries <= 32 and w.disk.bad == [], tries
    w.disk.prepare_why = None
    w.run(1000 + 86400 + 3700, every_us=60 * S)
    assert w.disk.pointer == r.rid
    w = World()
    w.disk.prepare_why, w.disk.for_good = "disk: bad", True
    w.add(1, 1005)
    w.run(1000 + 86400, every_us=60 * S)
    assert w.disk.calls.count("prepare") == 1 and len(w.disk.bad) == 1


def test_idle_switcher_sleeps():
    w = World()
    w.add(1, 1005)
    w.run(1100)
    w.quiet = True
    w.ticked = []
    w.run(1100 + 3600, every_us=3600 * S)
    assert len(w.ticked) <= 61


def test_operator_is_told_of_what_is_prepared_and_of_what_is_rolled_back_and_decides_nothing():
    w = World()
    w.status[(1, "rollback")] = w.status[(2, "rollback")] = 1
    w.add(1, 1010)
    w.run(1100)
    assert w.s.active.manifest.version == (1, 1, 0) and w.disk.sure == w.s.active.rid
    w.status[(2, "health")] = 1
    w.add(2, 1110)
    w.run(1300)
    assert w.s.active.manifest.version == (1, 1, 0)
    assert [t[:2] for t in w.told] == [(1, "prepare"), (2, "prepare"), (2, "rollback")]


def test_what_can_not_run_here_is_refused_when_it_is_prepared():
    """Packages that could not be undone; a slot whose own swdist would not start."""
    for kind in ("ipk", "slot"):
        w = World()
        r = w.add(1, 1100)
        r.manifest.payloads[0].kind = kind
        w.status[(1, "prepare")] = "extra brings /etc/passwd, which is here already"
        w.run(1200)
        assert w.disk.bad == [r.rid] and w.story() == []
        assert any("failed: extra brings" in line for line in w.log.lines)


def tries(w, minor, name):
    """In which seconds that hook of a version was asked."""
    return [h[2] for h in w.hooks + w.told if h[:2] == (minor, name)]


def test_not_now_fails_no_release_and_is_asked_again_with_growing_pauses():
    w = World()
    w.add(1, 1100).manifest.payloads[0].kind = "ipk"
    w.status[(1, "activate")] = "not now: opkg: it exited with 255"
    w.run(2100)
    assert tries(w, 1, "activate") == [1100, 1160, 1280, 1520, 2000]
    assert w.disk.bad == [] and w.disk.sure == FACTORY and tries(w, 1, "health") == []
    w.status[(1, "activate")] = 0
    w.status[(1, "health")] = "no"
    w.run(2999)
    assert tries(w, 1, "activate")[5:] == [2960]
    w.run(3015)
    assert w.disk.bad == []  # its trial has begun when its packages were there
    w.status[(1, "health")] = 0
    w.run(3019)
    assert w.s.active.rid == w.disk.sure and w.story() == [("1", 1100, "start")]


def test_what_may_pass_is_asked_again_once_an_hour_at_least():
    """Be it never so long: what can't be installed, and what can't be prepared."""
    for hook in ("activate", "prepare"):
        w = World()
        w.add(1, 1100).manifest.payloads[0].kind = "ipk"
        w.status[(1, hook)] = "not now: opkg: it exited with 255"
        w.run(30000)
        at = tries(w, 1, hook)
        pauses = [b - a for a, b in zip(at, at[1:])]
        assert len(pauses) > 10 and pauses[-1] in (3600, 3601), pauses
        assert all(a <= b + 1 <= 3602 for a, b in zip(pauses, pauses[1:])), pauses


def test_going_back_is_repeated_until_it_is_done_and_a_switch_begins_anew():
    w = World()
    w.hooks = []
    w.status[(0, "activate")] = "not now: base: opkg: No space left on device"
    w.boot()
    w.run(1400)
    assert tries(w, 0, "activate") == [1000, 1060, 1180]
    w.add(1, 1410)
    w.run(9000)
    assert tries(w, 0, "activate") == [1000, 1060, 1180] and tries(w, 1, "activate") == [1410]


def test_what_can_t_be_prepared_now_is_prepared_later_and_does_not_start_before():
    w = World()
    w.add(1, 1010).manifest.payloads[0].kind = "ipk"
    w.status[(1, "prepare")] = "not now: no room on flash: 76 KB are needed, 4 are free"
    w.run(1400)
    first = tries(w, 1, "prepare")
    assert len(first) > 1 and first[2] - first[1] > first[1] - first[0] >= 60
    assert w.story() == [] and w.disk.bad == [] and w.disk.whole == []
    w.status[(1, "prepare")] = 0
    w.run(2000)
    assert w.story()[0][0] == "1"


def test_experiment_of_packages_falls_back_to_packages_that_are_prepared():
    w = World()
    for r in (w.add(1, 1005), w.add(2, 1010, 1020)):
        r.manifest.payloads[0].kind = "ipk"
    w.run(1030)
    assert [s[:2] for s in w.story()] == [("1", 1005), ("2", 1010), ("1", 1020)]
    assert w.hooks[-2][:2] == (1, "activate")  # and then its health


def held(*releases):
    """A world whose owner wants no switch, with releases of (minor, start, end)."""
    w = World()
    w.on_hold = True
    w.boot()
    for r in releases:
        w.add(*r)
    return w


def test_owner_s_hold_keeps_what_runs_but_all_is_prepared():
    w = held((1, 1005))
    w.run(1100)
    assert w.story() == [] and w.disk.whole == [w.releases[0].rid]
    w.on_hold = False
    w.boot()
    w.run(1110)
    assert w.story() == [("1", 1100, "late")]


def running_on_hold(end=0):
    """Version 1 was started, then its owner has asked for a hold."""
    w = World()
    r = w.add(1, 1005, end)
    w.run(1010)
    w.on_hold = True
    w.boot()
    w.add(2, 1100)
    w.run(1200)
    return w, r


def test_on_hold_a_newer_release_is_not_switched_to():
    w, _ = running_on_hold()
    assert w.story() == [("1", 1005, "start")]


def test_on_hold_what_has_ended_is_left_all_the_same():
    w, _ = running_on_hold(1300)
    assert len(w.records) == 1
    w.run(1310)
    assert w.story()[1:] == [("2", 1300, "end")]


def test_on_hold_what_is_withdrawn_or_replaced_is_left_all_the_same():
    w, _ = running_on_hold()
    w.add(1, 0, revision=1, none=True)
    w.run(1210)
    assert [s[:2] for s in w.story()[1:]] == [("2", 1200)]


def test_on_hold_what_fails_is_left_all_the_same():
    w = World(confirm_s=20)
    w.status[(1, "health")] = 1
    w.add(1, 1005)
    w.run(1010)
    w.on_hold = True
    w.boot()
    w.run(1100)
    assert (w.story()[-1][0], w.story()[-1][2]) == ("0", "rollback") and w.disk.pointer == FACTORY


def test_who_is_not_invited_switches_not_and_waits_for_the_next_change_of_others():
    w = World()
    w.add(1, 1005, 2000)
    w.releases[0].manifest.groups = ("testers",)
    w.run(1100)
    assert w.story() == [] and w.disk.calls.count("prepare") == 0 and w.s.change_at is None
    w.s.choosing.here.groups = ("testers",)
    w.s.set_releases(w.releases, w.now)
    w.run(1200)
    assert w.story() == [("1", 1100, "late")]


def test_pause_after_what_can_not_be_prepared_is_short_again_after_a_success():
    w = World()
    w.add(1, 1100).manifest.payloads[0].kind = "ipk"
    w.status[(1, "prepare")] = "not now: opkg: it exited with 255"
    w.run(5000)
    w.status = {}
    w.run(9000)
    assert w.s.active.manifest.version == (1, 1, 0)
    w.status[(2, "prepare")] = "not now: opkg: it exited with 255"
    w.add(2, 9000).manifest.payloads[0].kind = "ipk"
    w.run(9200)
    at = tries(w, 2, "prepare")
    assert at[1] - at[0] in (60, 61), at


def test_pace_is_so_many_at_once_and_then_one_each_time_also_after_a_long_rest():
    p = pace.Pace(300 * S, 12)
    for now in (5000 * S, 90000 * S):
        done = []
        while now < 5000000 * S and len(done) < 14:
            if p.free(now):
                p.spend(now)
                done.append(now)
            else:
                now += S
        assert done[:12] == [done[0]] * 12
        assert [b - a for a, b in zip(done[11:], done[12:])] == [300 * S] * 2
