"""The switch side's process, against a network side that has been taken over."""

import json

from logs import Log

from swdist import switchd
from swdist.crypto.ucryptolib import sha256
from swdist.formats import ipc
from swdist.formats.bits import to_hex
from swdist.formats.manifest import Payload
from swdist.machines.rendezvous import Rendezvous
from swdist.shell import libc, platform, unixsock
from swdist.storage import journal
from swdist.storage.catalogue import Catalogue
from swdist.switchd import Switchd
from swdist.trust import choose, verify

FS = platform.Fs()
S = 1000000


class Trust:
    """Takes manifests that begin with `good MINOR REVISION`, and counts the checks."""

    baked = ()

    def __init__(self):
        self.checks = 0

    def check(self, manifest, signatures):
        self.checks += 1
        words = str(manifest, "ascii").split()
        if words[:1] != ["good"] or signatures != b"signed":
            return None, "signatures: 0 of the 1 needed"
        m = choose.factory((1, int(words[1]), 0)).manifest
        m.revision = int(words[2])
        m.rid = sha256(manifest)
        return verify.Release(m), signatures

    def adopt(self, release):
        return False


class Conf:
    confirm_s = 60
    board = "b"
    factory_version = (1, 0, 0)
    user = ""
    set_clock = False
    hold = 0
    images_kb = 0
    groups = ()
    rendezvous = None
    rendezvous_every_s = 21600


class World:
    def __enter__(self):
        self.root = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
        self.conf = Conf()
        for name in ("store", "state", "run"):
            FS.mkdirs(self.root + "/" + name)
            setattr(self.conf, name, self.root + "/" + name)
        self.trust = Trust()
        self.d = Switchd(self.conf, Log(), FS, self.trust, platform.Clock())
        return self

    def __exit__(self, *_):
        self.d.ipc.close()
        platform.run(("rm", "-rf", self.root), 10)

    def put(self, manifest, signatures=b"signed", name=None):
        rid = sha256(manifest)
        path = self.conf.store + "/releases/" + (name or to_hex(rid))
        FS.mkdirs(path)
        FS.write_atomic(path + "/manifest", manifest)
        FS.write_atomic(path + "/signatures", signatures)
        return rid

    def look(self, now=0):
        while self.d._look(now):
            pass
        return sorted([r.manifest.version[1] for r in self.d.switcher.choosing.releases])


def link(target, path):
    assert platform.run(("ln", "-s", target, path), 5) == 0


def test_links_in_the_run_folder_lead_root_nowhere():
    with World() as w:
        victim = w.root + "/victim"
        FS.write_atomic(victim, b"mine")
        for name in ("switch.json", "switch.json.tmp"):
            if FS.size(w.conf.run + "/" + name) is not None:
                FS.remove(w.conf.run + "/" + name)
            link(victim, w.conf.run + "/" + name)
        w.d._tell()
        w.d.ipc.close()
        w.d = Switchd(w.conf, Log(), FS, w.trust, platform.Clock())
        assert FS.read(victim, 99) == b"mine"
        assert platform.run(("test", "-x", victim), 5) != 0
        status = json.loads(FS.read(w.conf.run + "/switch.json", 9999))
        assert status["active"]["version"] == "1.0.0" and status["failed"] == []


def test_what_lies_where_sockets_were_does_not_keep_a_process_down():
    with World() as w:
        w.d.ipc.close()
        for name in ("/switch.sock", "/net.sock", "/switch.json"):
            path = w.conf.run + name
            platform.run(("rm", "-f", path), 5)
            for way in (("mkfifo", path), ("mkdir", "-p", path + "/not/empty")):
                assert platform.run(way, 5) == 0
                w.d = Switchd(w.conf, Log(), FS, w.trust, platform.Clock())
                net = unixsock.Unix(w.conf.run + "/net.sock")
                w.d._tell()
                assert ipc.parse(net.recv())[0] == ipc.ACTIVE
                assert net.send_to(w.conf.run + ".sock", ipc.pack_store()) and w.d.ipc.recv()
                net.close()
                w.d.ipc.close()
                platform.run(("rm", "-rf", path), 5)


def test_store_with_more_names_than_memory_has_room_for():
    with World() as w:
        w.put(b"good 1 0")
        w.look()
        fill = "cd $0/releases && seq -f %064.0f 16000 | xargs mkdir"
        assert platform.run(("sh", "-c", fill, w.conf.store), 60) == 0
        assert w.look() == [1]
        w.d.ipc.close()
        w.d = Switchd(w.conf, Log(), FS, w.trust, platform.Clock())
        w.look()
        # The network side's next start clears it, and switchd finds what it is to find.
        log = Log()
        Catalogue(FS, w.conf.store + "/releases", w.trust, log, log.error, 0).load()
        assert FS.listdir(w.conf.store + "/releases") == [to_hex(sha256(b"good 1 0"))]
        assert w.look() == [1]


def test_signatures_are_checked_once_and_forgeries_are_not_held():
    with World() as w:
        w.put(b"good 1 0")
        w.put(b"good 2 0", b"forged")
        w.put(b"bad")
        w.put(b"good 4 0")
        assert w.look() == [1, 4] and w.trust.checks == 4
        assert w.look() == [1, 4] and w.trust.checks == 4


def test_manifest_under_another_id_is_refused_without_a_check():
    with World() as w:
        w.put(b"good 1 0", name="ab" * 32)
        assert w.look() == [] and w.trust.checks == 0


def test_endless_supply_of_unknown_releases_is_paced():
    switchd.CHECKS, kept = 8, switchd.CHECKS
    try:
        with World() as w:
            for i in range(40):
                w.put(b"bad %d" % i)
            w.look()
            assert w.trust.checks == 8
            w.look(10 * switchd.CHECK_US)
            assert w.trust.checks == 16  # what has come free meanwhile, but no more at once
    finally:
        switchd.CHECKS = kept


def test_pipe_in_the_place_of_a_manifest_is_not_opened():
    with World() as w:
        path = w.conf.store + "/releases/" + "ab" * 32
        FS.mkdirs(path)
        FS.write_atomic(path + "/signatures", b"signed")
        assert platform.run(("mkfifo", path + "/manifest"), 5) == 0
        w.put(b"good 1 0")
        assert w.look() == [1]


def test_who_empties_the_store_changes_nothing_before_the_next_start():
    with World() as w:
        rid = w.put(b"good 1 0")
        w.look()
        FS.rmtree(w.conf.store + "/releases/" + to_hex(rid))
        assert w.look() == [1]
        w.put(b"good 1 1")
        assert w.look() == [1] and w.d.switcher.choosing.releases[0].manifest.revision == 1


def test_records_are_bounded_and_survive_one_that_was_cut():
    with World() as w:
        path = w.conf.state + "/switches"
        record = {"at_us": 5 * S, "synced": True, "n": 0, "fill": "x" * 500}
        for i in range(300):
            record["n"] = i
            w.d._record(record)
        assert FS.size(path) <= journal.MAX_BYTES + 600
        lines = FS.read(path, 200000).split(b"\n")
        assert lines.pop() == b""
        found = [json.loads(line)["n"] for line in lines]
        assert found == list(range(found[0], 300)) and len(found) > 50
        FS.write_atomic(path, b'{"n": 1}\n{"n": 2, "cu')
        w.d._record(record)
        lines = FS.read(path, 9999).split(b"\n")
        assert len(lines) == 4 and json.loads(lines[2])["n"] == 299
        assert FS.read(w.conf.state + "/time", 99) == b"5"


def test_kept_time_that_is_garbled_is_none():
    with World() as w:
        for data in (b"\xff\xff", b"", b"12x", b"9" * 40):
            FS.write_atomic(w.conf.state + "/time", data)
            w.d.ipc.close()
            w.d = Switchd(w.conf, Log(), FS, w.trust, platform.Clock())
            assert w.d.switcher.now_s(0) == 0


def test_lot_is_drawn_once_and_kept_for_ever():
    with World() as w:
        lot = w.d.here.lot
        assert len(lot) == 16 and FS.read(w.conf.state + "/lot", 99) == lot
        told = []
        w.d.ipc.send_to = lambda path, message: told.append(ipc.parse(message))
        w.d._tell()
        assert told[0][-1] == lot and told[0][-2] is False
        for data in (None, b"short", bytes(17)):
            w.d.ipc.close()
            if data is not None:
                FS.write_atomic(w.conf.state + "/lot", data)
            w.d = Switchd(w.conf, Log(), FS, w.trust, platform.Clock())
            assert (w.d.here.lot == lot) == (data is None)
            assert FS.read(w.conf.state + "/lot", 99) == w.d.here.lot


def test_owner_s_hold_is_told():
    with World() as w:
        w.conf.hold = 1
        told = []
        w.d.ipc.send_to = lambda path, message: told.append(ipc.parse(message))
        w.d._tell()
        assert told[0][-2] is True
        assert json.loads(FS.read(w.conf.run + "/switch.json", 9999))["hold"] is True


def test_hook_gets_the_slots_path_and_its_time_limit_holds():
    with World() as w:
        r = choose.factory((1, 1, 0))
        r.rid = sha256(b"r")
        hooks = w.d.slots.path(r.rid) + "/hooks"
        FS.mkdirs(hooks)
        assert w.d._hook(r, "health") == 0
        FS.write_atomic(hooks + "/activate", b'test "$1" = "${0%/hooks/activate}" && exit 7\n')
        assert w.d._hook(r, "activate") == "activate: it exited with 7"
        FS.write_atomic(hooks + "/health", b"echo asking olsrd; sleep 60\n")
        switchd.HOOK_S, kept = 1, switchd.HOOK_S
        try:
            before = w.d.counter.counter_us()
            assert w.d._hook(r, "health") == "health: more than 1 s: asking olsrd"
            FS.write_atomic(hooks + "/health", b"sleep 60\n")
            assert w.d._hook(r, "health") == "health: more than 1 s"
            assert w.d.counter.counter_us() - before < 20 * S
        finally:
            switchd.HOOK_S = kept


def test_what_a_hook_says_last_is_the_reason():
    with World() as w:
        r = choose.factory((1, 1, 0))
        r.rid = sha256(b"r")
        hooks = w.d.slots.path(r.rid) + "/hooks"
        FS.mkdirs(hooks)
        for script, why in (
            (b"echo one; echo 'olsrd not running' >&2; echo; exit 1\n", "olsrd not running"),
            (b"printf 'half a line'; exit 2\n", "half a line"),
            (b"printf '\\033[31m%%d \\\\n\\303\\244\\n'; exit 2\n", "[31m%d \\n"),
            (b"head -c 9999 /dev/zero | tr '\\0' y; exit 3\n", "it exited with 3"),
            (b"echo wrong\n", None),
            (b"exit 300\n", "it exited with 44"),
        ):
            FS.write_atomic(hooks + "/health", script)
            assert w.d._hook(r, "health") == (why and "health: " + why or 0), script


def test_operators_hooks_run_in_order_after_the_slots_own_and_have_a_say():
    with World() as w:
        r = choose.factory((1, 1, 0))
        r.rid = sha256(b"r")
        slot = w.d.slots.path(r.rid)
        log = w.conf.state + "/log"
        switchd.HOOKS, kept = w.conf.state + "/hooks/", switchd.HOOKS
        try:
            for name in ("activate", "prepare"):
                FS.mkdirs(slot + "/hooks")
                FS.write_atomic(slot + "/hooks/" + name, b"echo own >>%s\n" % log.encode())
            for name, status in (("20-b", 3), ("10-a", 0), ("30-never", 0)):
                for folder in ("activate", "prepare", "confirm", "rollback"):
                    FS.mkdirs(switchd.HOOKS + folder + ".d")
                    script = "echo %s %s $1 >>%s; exit %d\n" % (name, folder, log, status)
                    FS.write_atomic(switchd.HOOKS + folder + ".d/" + name, script.encode())
            for name, folder in (("activate", "activate"), ("health", "confirm")):
                assert w.d._hook(r, name) == folder + ".d/20-b: it exited with 3"
                lines = FS.read(log, 9999).decode().split("\n")
                own = ["own"] if name == "activate" else []
                both = ["%s %s %s" % (n, folder, slot) for n in ("10-a", "20-b")]
                assert lines == own + both + [""], lines
                FS.remove(log)
            # Not of the slot, whose release does not run; and those of prepare.d are told only.
            for name, said in (("prepare", 0), ("rollback", "rollback.d/20-b: it exited with 3")):
                assert w.d._hook(r, name) == said
                assert b"own" not in FS.read(log, 9999)
        finally:
            switchd.HOOKS = kept


def rank():
    """(nice, priority in real time); of /proc/self qemu-user makes up its own"""
    with open("/proc/thread-self/stat") as f:
        fields = f.read().split(") ")[1].split()
    return int(fields[16]), int(fields[37])


class Ranks:
    """Notes with which rank it is waited, and for how long: [(us, rank)]."""

    def __init__(self):
        self.seen = []

    def register(self, x):
        pass

    def wait(self, ms):
        self.seen.append((ms * 1000, rank()))
        return []

    def wait_until(self, us):
        self.seen.append((us - 9 * S, rank()))


def test_near_a_switch_it_is_ahead_of_other_processes_but_what_it_starts_is_not():
    before = rank()
    ahead = before
    if libc.rank(True):  # ffi is there, and this is root
        ahead = rank()
        assert ahead[0] == before[0] - 19 and ahead[1] == 1
        assert not libc.rank(False)
    assert rank() == before
    with World() as w:
        r = choose.factory((1, 1, 0))
        r.rid = sha256(b"r")
        hooks = w.d.slots.path(r.rid) + "/hooks"
        FS.mkdirs(hooks)
        script = 'read -r line </proc/$$/stat; echo "$line" >%s/stat' % w.root
        FS.write_atomic(hooks + "/activate", script.encode())
        w.d.poller = w.d.counter = ranks = Ranks()
        w.d.switcher.change_at = 9 * S + 400000
        for wake, now_us in ((9400000, 8000000), (9400000, 9000000), (7000000, 6000000)):
            w.d._wait(wake, now_us)
        assert ranks.seen == [(900000, ahead), (400000, ahead), (1000000, before)], ranks.seen
        w.d._wait(9400000, 9000000)
        assert rank() == ahead and w.d._hook(r, "activate") == 0 and rank() == before
        fields = FS.read(w.root + "/stat", 999).decode().split(") ")[1].split()
        assert (int(fields[16]), int(fields[37])) == before


def test_store_is_read_when_the_network_side_says_so_and_at_least_once_a_minute():
    with World() as w:
        net = unixsock.Unix(w.conf.run + "/net.sock")
        held = w.d.switcher.choosing
        w.d.begin(0)
        w.put(b"good 1 0")
        for now in (1 * S, 59 * S):
            assert w.d.turn(now) <= 60 * S and held.releases == []
        net.send_to(w.conf.run + ".sock", ipc.pack_store())
        w.d._take()
        while w.d.turn(59 * S) <= 59 * S:
            pass
        assert len(held.releases) == 1
        w.put(b"good 2 0")
        w.d.turn(118 * S)
        assert len(held.releases) == 1
        while w.d.turn(119 * S) <= 119 * S:
            pass
        assert len(held.releases) == 2
        net.close()


def test_turn_says_when_other_code_is_due():
    with World() as w:
        w.d.begin(0)
        assert w.d.turn(S) > S
        w.d.switcher.restart_due = True
        assert w.d.turn(2 * S) is None


class Over(Exception):
    pass


class Busy:
    """A switchd in virtual time, with a message every 90 ms, and for whom all takes 40 ms. `done`:
    [(what it did, by how many us before its only change)]."""

    def __init__(self, d, change_s):
        self.d = d
        self.at = change_s * S
        self.now = self.at - 11 * S
        self.done = []
        d.counter = d.poller = d.ipc = self
        switchd.gc, self.gc = self, switchd.gc
        platform.stop_fd, self.stop_fd = lambda: None, platform.stop_fd
        d._tell = self.slow("tell", d._tell)
        d._look = self.slow("look", d._look)
        d._hook = self.slow("hook", d._hook)
        for part in (d.switcher, d.switcher._trial, d.switcher._preparing):
            part._hook = d._hook

    def close(self):
        switchd.gc, platform.stop_fd = self.gc, self.stop_fd

    def slow(self, what, does):
        def it(*arguments):
            self.done.append((what, self.at - self.now))
            self.now += 40000
            return does(*arguments)

        return it

    def counter_us(self):
        return self.now

    def wait_until(self, us):
        self.now = max(self.now, us)

    def register(self, x):
        pass

    def wait(self, ms):
        if self.now > self.at + 3 * S:
            raise Over
        message = self.now // 90000 * 90000 + 90000
        woken = message <= self.now + ms * 1000
        self.now = message if woken else self.now + ms * 1000
        self.message = ipc.pack_store() if woken else None
        return [self] if woken else []

    def recv(self):
        self.done.append(("hears", self.at - self.now))
        message, self.message = self.message, None
        return message

    def send_to(self, path, message):
        pass

    def collect(self):
        self.done.append(("tidies", self.at - self.now))
        self.now += 40000


def test_in_its_last_two_seconds_it_begins_nothing_slow_and_at_last_only_waits():
    with World() as w:
        rid = w.put(b"good 1 0")
        w.look()
        m = w.d.switcher.choosing.releases[0].manifest
        m.start_s = 1000
        p = Payload()
        p.kind, p.boards, p.size, p.stored, p.pid = "slot", None, 1, 1, rid
        m.payloads = (p,)
        FS.mkdirs(w.d.slots.path(rid))
        real = w.d.ipc
        busy = Busy(w.d, 1000)
        w.d.switcher.set_time(busy.now, 0, 0, True, 1, busy.now)
        try:
            w.d.run()
        except Over:
            pass
        finally:
            busy.close()
            w.d.ipc = real
        switch = json.loads(FS.read(w.conf.state + "/switches", 9999))
        assert switch["counter_us"] == busy.at and switch["reason"] == "start"
        last = [(what, left) for what, left in busy.done if 0 < left < 2 * S]
        heard = [left for what, left in last if what == "hears"]
        assert len(heard) > 10 and min(heard) > 400000
        rest = [x for x in last if x[0] != "hears"]
        assert len(rest) == 1 and rest[0][0] == "tidies" and rest[0][1] > 300000, rest
        told = [left for what, left in busy.done if what == "tell"]
        assert max(told) > 9 * S and -S < min(told) < 0  # and so before and after
        hooks = [left for what, left in busy.done if what == "hook"]
        assert len(hooks) > 1 and not [left for left in hooks if 0 < left < 2 * S]


class Rescue:
    """A node with a fallback link, in virtual time; what its hooks were told is `told`."""

    def __enter__(self):
        self.w = World().__enter__()
        self.w.conf.rendezvous = "rescue0"
        self.log = self.w.root + "/log"
        self.kept, switchd.HOOKS = switchd.HOOKS, self.w.root + "/hooks/"
        self.hook(b'echo "$1" "$2" >>%s\n' % self.log.encode())
        self.life()
        return self

    def __exit__(self, *_):
        switchd.HOOKS = self.kept
        self.w.__exit__()

    def hook(self, script):
        FS.mkdirs(switchd.HOOKS + "rendezvous.d")
        FS.write_atomic(switchd.HOOKS + "rendezvous.d/10", script)

    def life(self):
        """A process more; its counter begins where it has ended."""
        self.w.d.ipc.close()
        self.w.d = Switchd(self.w.conf, Log(), FS, self.w.trust, platform.Clock())
        self.w.d.rendezvous = Rendezvous(21600 * S, 0)

    def told(self):
        lines = (FS.read(self.log, 9999) or b"").decode().split("\n")[:-1]
        FS.write_atomic(self.log, b"")
        return lines

    def at(self, now_s, mesh_s, neighbours=1):
        now = now_s * S
        self.w.d.switcher.set_time(now, (mesh_s - now_s) * S, 0, True, neighbours, now)
        self.w.d._meet(now)
        return self.told()


def test_fallback_link_is_brought_up_and_down_by_the_operators_hooks():
    with Rescue() as r:
        assert r.at(1000, 21599) == []
        assert r.at(1001, 21600) == ["up rescue0"]
        assert r.at(1002, 21601) == r.at(1300, 21899) == []
        assert r.at(1301, 21900) == ["down rescue0"]
        assert r.at(1302, 21901) == []
        r.w.conf.rendezvous = r.w.d.rendezvous = None
        assert r.at(99999, 43200) == []


def test_what_a_life_left_up_is_brought_down_at_the_next_start_and_at_the_end():
    with Rescue() as r:
        r.w.d._down()
        assert r.told() == []
        r.at(1000, 21600)
        r.life()  # killed
        r.w.conf.rendezvous = None  # and its owner wants it no more
        r.w.d._down()
        assert r.told() == ["down rescue0"]
        r.w.d._down()
        assert r.told() == []


def test_start_and_stop_bring_it_down():
    with Rescue() as r:
        d = r.w.d
        d.rendezvous = None  # it runs by the real counter: no window may begin in these moments
        FS.write_atomic(r.w.conf.run + ".rendezvous", b"rescue0")  # left by a life before
        d.switcher.tick = lambda now: d._put(".rendezvous", b"rescue1")  # and by this one
        d.poller.register = lambda x: None
        d.poller.wait = lambda ms: [d.ipc]
        platform.stop_fd, kept = lambda: d.ipc, platform.stop_fd
        try:
            d.run()
        finally:
            platform.stop_fd = kept
        assert r.told() == ["down rescue0", "down rescue1"]


def test_hooks_of_the_fallback_link_that_fail_or_hang_are_named_and_left():
    with Rescue() as r:
        r.hook(b"echo no such phy; exit 1\n")
        r.at(1000, 21600)
        assert r.w.d.log.lines[-2:] == [
            "rendezvous on rescue0: up",
            "rendezvous.d/10: no such phy",
        ]
        r.hook(b"sleep 60\n")
        switchd.HOOK_S, kept = 1, switchd.HOOK_S
        try:
            r.at(1300, 21900)
        finally:
            switchd.HOOK_S = kept
        assert r.w.d.log.lines[-1] == "rendezvous.d/10: more than 1 s"


def test_no_hook_of_the_fallback_link_begins_in_the_quiet_before_a_switch():
    with Rescue() as r:
        quiet = [True]
        r.w.d.switcher.quiet = lambda now: quiet[0]
        assert r.at(1000, 21600) == []
        quiet[0] = False
        assert r.at(1002, 21602) == ["up rescue0"]
        quiet[0] = True
        assert r.at(1999, 22599) == []
        quiet[0] = False
        assert r.at(2001, 22601) == ["down rescue0"]


class Giver:
    """Counts what is asked of it."""

    def __init__(self):
        self.asked = []

    def give(self, *message):
        self.asked.append(message)


def test_pieces_of_the_own_image_are_given_once_a_turn_and_never_near_a_switch():
    with World() as w:
        w.d._own = giver = Giver()
        net = unixsock.Unix(w.conf.run + "/net.sock")
        there = w.conf.run + ".sock"
        for quiet, asked in ((False, [(ipc.OWN, 4, 9)]), (True, [])):
            w.d.switcher.quiet = lambda now, quiet=quiet: quiet
            giver.asked = []
            for n in range(5):
                assert net.send_to(there, ipc.pack_own(n, 9))
            w.d._take()
            assert giver.asked == asked
        w.d.flash = None  # without swdist-install
        net.send_to(there, ipc.pack_own(1, 1))
        w.d._take()
        assert giver.asked == []
        net.close()


def test_random_messages_of_the_network_side_change_nothing():
    with World() as w:
        net = unixsock.Unix(w.conf.run + "/net.sock")
        there = w.conf.run + ".sock"
        magics = b"swT1", b"swS1", b"swA2", b"swO1"
        for n in range(800):
            size = platform.rand(80) if n % 16 != 3 else 4
            data = bytes(magics[n % 4]) + platform.rand_bytes(size)
            net.send_to(there, data[: platform.rand(4 + size)] if n % 3 else data)
            if n % 8 == 7:
                w.d._take()
        assert w.d.switcher.choosing.releases == []
        assert sorted(FS.listdir(w.conf.state)) == ["lot", "reserve", "slots"]
        while True:
            answer = net.recv()
            if answer is None:
                break
            what, _, count = ipc.parse(answer)
            assert (what, count) == (ipc.OWN, 0)
        assert FS.size(w.conf.run + "/own") == 0
        net.close()
