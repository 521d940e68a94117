"""What swdist-install adds: images in RAM, the instant to flash one, and what came of it."""

import io

from logs import Log
from made import CHUNK, ZEROS, Made, Trust, fill, manifest, packed
from test_store import KB, PAYLOAD, add, content
from test_switcher import S
from test_switcher import World as SwitcherWorld

from swdist.crypto.ucryptolib import sha256
from swdist.formats import manifest as manifest_format
from swdist.formats.bits import to_hex
from swdist.machines import switcher
from swdist.shell import platform
from swdist.storage import install
from swdist.storage.room import Room
from swdist.storage.slots import Slots
from swdist.storage.store import Store
from swdist.trust import choose, verify

FS = platform.Fs()


class Memory(platform.Fs):
    """Real files, on a machine with so much memory."""

    kb = 100 * KB
    text = "MemTotal: 999 kB\nMemFree: 1 kB\nMemAvailable:   %d kB\nBuffers: 1 kB\n"

    def __init__(self, root):
        self.root = root

    def open(self, path, mode):
        if path == "/proc/meminfo":
            path = self.root + "/meminfo"
            with FS.open(path, "w") as f:
                f.write(self.text.replace("%d", "%d" % self.kb))
        return FS.open(path, mode)


class Conf:
    images_kb = 64
    board = "linksys,wrt54gs"
    factory_version = (1, 0, 0)
    user = "nobody"
    confirm_s = 60


class Net:
    """A store with room for images in RAM."""

    def __enter__(self):
        self.root = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
        FS.mkdirs(self.root)
        self.fs = Memory(self.root)
        self.conf = Conf()
        for name in ("run", "store", "state"):
            setattr(self.conf, name, self.root + "/" + name)
        self.log = Log()
        self.again()
        return self

    def __exit__(self, *_):
        FS.rmtree(self.root)

    def again(self):
        """As after a restart of the process."""
        ram = install.Ram(self.fs, self.conf)
        here = choose.Here(self.conf.board, ("slot", "image"))
        room = Room(here, self.conf.factory_version, 64 * KB, 64 * KB, ram)
        self.store = Store(self.fs, self.conf.store, Trust(), self.log, room)
        self.store.load()
        return self.store

    def in_ram(self, made):
        return FS.size(self.conf.run + "/images/" + to_hex(made.pid) + "/payload")

    def forgot(self):
        self.store.collect([])
        return len([line for line in self.log.lines if "removed payload" in line])


def image(version="2.0.0", boards="linksys,wrt54gs", payload=PAYLOAD, revision=0):
    return manifest(version, [payload.line("image", boards)], revision, more="Window: 600\n")


def take(store, text):
    release, why = store.add(text, b"good")
    assert why is None, why
    return release


def test_payload_of_an_image_is_in_ram_and_served_from_there():
    with Net() as w:
        take(w.store, image())
        assert w.store.needs.wanted() == [PAYLOAD.pid]
        fill(w.store, PAYLOAD)
        assert w.in_ram(PAYLOAD) == len(PAYLOAD.data)
        assert FS.listdir(w.conf.store + "/payloads") == []
        assert content(w.store, PAYLOAD.name("1")) == PAYLOAD.data[:CHUNK]
        assert content(w.store, PAYLOAD.name("0")) == PAYLOAD.pages[0]
        assert content(w.store, PAYLOAD.name("index")) == PAYLOAD.index
        w.again()
        assert w.store.held(PAYLOAD.pid).complete()  # it outlives the process,
        FS.rmtree(w.conf.run)
        assert w.again().held(PAYLOAD.pid) is None  # but not the power
        assert w.store.needs.wanted() == [PAYLOAD.pid]


def test_image_takes_no_room_on_flash_from_slots():
    large = Made(bytes(range(250)) * 200)
    ours = Made(bytes(63 * KB))
    for slot_first in (True, False):
        with Net() as w:
            add(w.store, "1.1.0", lines=[ours])
            take(w.store, image(payload=large))
            for made in (ours, large) if slot_first else (large, ours):
                fill(w.store, made)
            w.store.collect([])
            assert w.store.held(ours.pid).complete() and w.store.held(large.pid).complete()


def test_only_the_newest_that_this_node_may_run_is_wanted():
    newest, newer, lower, other = [Made(b"%d" % i * 99) for i in range(4)]
    with Net() as w:
        take(w.store, image("2.0.0", payload=newer))
        take(w.store, image("1.5.0", payload=lower))
        take(w.store, image("3.0.0", "other", other))
        take(w.store, image("3.0.1", "any", other))
        assert w.store.needs.wanted() == [newer.pid]
        fill(w.store, newer)
        take(w.store, image("2.1.0", payload=newest))
        assert w.store.needs.wanted() == [newest.pid]
        w.store.collect([])
        assert w.in_ram(newer) is None and w.store.held(newer.pid) is None


def test_image_of_another_board_is_held_for_a_neighbour_and_goes_with_its_wish():
    with Net() as w:
        take(w.store, image("3.0.0", "other"))
        w.store.needs.relay([PAYLOAD.pid])
        assert w.store.needs.wanted() == [PAYLOAD.pid]
        fill(w.store, PAYLOAD)
        w.store.collect([])
        assert w.in_ram(PAYLOAD) == len(PAYLOAD.data)
        w.store.needs.relay([])
        w.store.collect([])
        assert w.in_ram(PAYLOAD) is None


def test_what_is_not_newer_than_the_image_here_is_not_wanted():
    with Net() as w:
        for version in ("0.9.0", "1.0.0"):
            take(w.store, image(version))
            assert w.store.needs.wanted() == []
        w.conf.factory_version = (3, 0, 0)
        take(w.store, image("2.0.0"))
        assert w.again().needs.wanted() == []


def test_without_the_option_and_beyond_it_nothing_is_fetched():
    with Net() as w:
        take(w.store, image(payload=Made(bytes(65 * KB))))
        assert w.store.needs.wanted() == []
        assert [line for line in w.log.lines if "images_kb" in line]
        room = Room(choose.Here(Conf.board, ("slot", "image")), (1, 0, 0), 64 * KB, 64 * KB)
        store = Store(FS, w.root + "/other", Trust(), w.log, room)
        store.load()
        take(store, image())
        assert store.needs.wanted() == []


def test_memory_decides_before_the_fetch_and_during_it():
    big = Made(bytes(range(256)) * 240)  # 60 KB
    with Net() as w:
        w.fs.kb = install.MARGIN_BYTES // KB + 59
        take(w.store, image(payload=big))
        assert w.store.needs.wanted() == []
        w.fs.kb += 1
        w.store.collect([])
        assert w.store.needs.wanted() == [big.pid]
        fill(w.store, big, 1 + 8)
        w.fs.kb = install.MARGIN_BYTES // KB + 60 - 32
        w.store.collect([])
        assert w.store.needs.wanted() == [big.pid]
        w.fs.kb = install.MARGIN_BYTES // KB - 1
        assert w.forgot() == 1 and w.in_ram(big) is None
        w.fs.kb += 61
        w.store.collect([])
        fill(w.store, big)
        w.fs.kb = 1  # also when it is whole, and scheduled
        w.store.collect([w.store.releases[0].rid])
        assert w.in_ram(big) is None


def test_kernel_that_does_not_say_what_is_available_gets_no_image():
    with Net() as w:
        w.fs.text = "MemTotal: 999999 kB\nMemFree: 999999 kB\nX: %d"
        take(w.store, image())
        assert w.store.needs.wanted() == []


def test_image_that_the_switch_side_has_taken_is_fetched_again():
    with Net() as w:
        take(w.store, image())
        fill(w.store, PAYLOAD)
        FS.remove(w.conf.run + "/images/" + to_hex(PAYLOAD.pid) + "/payload")
        for rest in ("0", "1", "1-3"):
            content(w.store, PAYLOAD.name(rest))  # who asks just now gets nothing, at worst
        w.store.collect([])
        assert w.store.needs.wanted() == [PAYLOAD.pid]


def test_later_revision_of_the_same_image_keeps_the_payload_and_a_withdrawal_removes_it():
    with Net() as w:
        take(w.store, image())
        fill(w.store, PAYLOAD)
        take(w.store, image(revision=1))
        assert w.store.held(PAYLOAD.pid).complete() and w.in_ram(PAYLOAD) == len(PAYLOAD.data)
        take(w.store, manifest("2.0.0", revision=2))
        assert FS.listdir(w.conf.run + "/images") == []


# --- when


class Machine(switcher.Switcher):
    """The two as switchd runs them."""

    flash = None

    def tick(self, now):
        super().tick(now)
        self.flash.tick(now)
        self.next_at = min(self.next_at, self.flash.next_at)


class World(SwitcherWorld):
    """`images`: ids of those whose payloads are here. `drawn`: what chance says."""

    Machine = Machine

    def __init__(self):
        self.images = []
        self.begun = None  # the size of the one that sysupgrade was given
        self.drawn = 0
        self.flashes = []  # (minor version, second)
        self.why = "sysupgrade exited with 1"
        super().__init__()

    def ready(self):
        def rand(n):
            return min(self.drawn * S, n - 1)

        self.s.flash = install.Flash(self, Run(), rand, self.s, self.hook, self.log)

    def size(self, path):
        if path == "/run.image/image":
            return self.begun
        for r in self.images:
            if path == "/run/images/%s/payload" % to_hex(r.manifest.payloads[0].pid):
                return 1
        return None

    def open(self, path, mode):
        raise OSError(2)  # there is no /proc/mtd

    def hook(self, release, name):
        if name == "flash":
            self.flashes.append((release.manifest.version[1], self.now // S))
            return self.why
        return super().hook(release, name)

    def add_image(self, minor, start, window_s=600, revision=0, here=True):
        r = self.add(minor, start, revision=revision, held=False)
        r.manifest.window_s = window_s
        r.manifest.payloads[0].kind, r.manifest.payloads[0].boards = "image", ("b",)
        if here:
            self.images.append(r)
        return r


class Run:
    run = "/run"
    state = "/state"


def test_image_is_flashed_at_the_drawn_instant_of_its_window_and_not_before_a_minute():
    for drawn in (0, 250, 600, 9999):
        w = World()
        w.drawn = drawn
        w.add_image(5, 1100)
        w.run(1100 + 60 + 601)
        at = 1100 + 60 + min(drawn, 600)
        assert w.flashes == [(5, at)], drawn
        assert w.records == []  # nothing has switched here


def test_window_of_who_gets_it_late_begins_then():
    w = World()
    w.drawn = 100
    r = w.add_image(5, 1100, here=False)
    w.run(5000)
    assert w.flashes == []
    w.images.append(r)
    w.run(5300)
    assert len(w.flashes) == 1 and 5160 <= w.flashes[0][1] <= 5222  # it looks once a minute


def test_image_that_fails_is_remembered_and_left():
    w = World()
    r = w.add_image(5, 1100)
    w.add(1, 1050)
    w.run(9000)
    assert len(w.flashes) == 1 and w.disk.bad == [r.rid]
    assert w.s.active.manifest.version == (1, 1, 0)
    assert any("not flashed: sysupgrade exited with 1" in line for line in w.log.lines)


def test_what_may_be_better_later_is_tried_again_but_not_in_a_loop():
    w = World()
    w.why = "not now: the image does not hold"
    w.add_image(5, 1100, window_s=0)
    w.run(1100 + 600)
    assert 4 <= len(w.flashes) <= 10 and w.disk.bad == []
    w.why = "no"
    w.run(1100 + 900)
    assert len(w.disk.bad) == 1


def test_image_that_sysupgrade_was_given_is_tried_again_and_no_failure_until_the_script_says_so():
    w = World()
    w.add(1, 1050)
    r = w.add_image(5, 1100, window_s=0)
    w.why = "not now: sysupgrade has begun"
    w.run(1200)
    assert len(w.flashes) == 1
    w.images.remove(r)  # it lies aside now, and there is no room to fetch it again
    w.begun = 1
    w.run(2000)
    assert len(w.flashes) > 3 and w.disk.bad == []
    said = [line for line in w.log.lines if "is not flashed" in line]
    assert len(said) == 1  # once, not each minute
    w.why = "sysupgrade has begun 3 times, and nothing came of it"
    w.run(2200)
    assert w.disk.bad == [r.rid] and w.disk.why == [w.why]
    tried = len(w.flashes)
    w.run(9000)
    assert len(w.flashes) == tried and w.s.active.manifest.version == (1, 1, 0)


def test_nothing_is_flashed_without_a_clock_and_the_window_begins_with_it():
    w = World()
    w.synced = False
    w.add_image(5, 1100)
    w.boot(floor_s=5000)
    w.run(6000)
    assert w.flashes == []
    w.synced = True
    w.run(6130)
    assert len(w.flashes) == 1 and w.flashes[0][1] > 6060


def test_slots_and_experiments_go_on_until_the_image_comes():
    w = World()
    w.drawn = 300
    w.add_image(5, 1100)
    w.add(1, 1200)
    w.add(6, 1250, 2000)  # of a higher version: as long as it runs, nothing is flashed
    w.run(1990)
    assert w.flashes == []
    assert w.story() == [("1", 1200, "start"), ("6", 1250, "start")]
    w.run(2000 + 60 + 301 + 60)
    assert len(w.flashes) == 1 and w.story()[-1] == ("1", 2000, "end")


def test_experiment_does_not_wait_for_an_image_to_fall_back_to():
    w = World()
    w.add_image(5, 1010, here=False)
    w.add(6, 1250, 2000)
    w.run(1300)
    assert w.story() == [("6", 1250, "start")]


def test_image_that_is_postponed_or_withdrawn_in_its_window_is_not_flashed():
    for withdrawn in (True, False):
        w = World()
        w.drawn = 300
        r = w.add_image(5, 1100)
        w.run(1300)
        if withdrawn:
            w.add(5, 0, revision=1, none=True)
        else:
            w.images.remove(r)
            w.add_image(5, 9000, revision=1)
        w.run(8000)
        assert w.flashes == []
        w.run(9500)
        assert len(w.flashes) == (not withdrawn)


def test_newer_image_within_the_window_is_flashed_instead_at_an_instant_of_its_own():
    w = World()
    w.drawn = 300
    w.add_image(5, 1100)
    w.run(1390)
    w.add_image(6, 1100)
    w.run(1390 + 60 + 299)
    assert w.flashes == []
    w.run(2400)
    assert [minor for minor, _ in w.flashes] == [6, 5]  # that one failed, so the other is next


def test_image_that_is_not_newer_than_the_one_here_is_never_flashed():
    w = World()
    w.add_image(0, 1010)
    r = w.add_image(5, 1010)
    r.manifest.payloads[0].boards = ("other",)
    w.run(9000)
    assert w.flashes == [] and w.disk.bad == []


# --- and what came of it

RID = to_hex(sha256(b"an image")).encode()
ROM = {
    "/proc/version": b"Linux version 6.6.73\n",
    "/proc/mtd": b'dev:    size   erasesize  name\nmtd3: 00700000 00010000 "rootfs"\n',
    "/dev/mtd3": b"hsqs" + bytes(200),
    "/rom/usr/lib/opkg/status": b"Package: base-files\n",
}


class Image(platform.Fs):
    """Real files, but for those that tell one image from another."""

    def __init__(self, **rom):
        self.rom = dict(ROM)
        for name, data in rom.items():
            self.rom["/" + name.replace("_", "/")] = data

    def size(self, path):
        if path.startswith("/rom/"):
            return len(self.rom[path]) if path in self.rom else None
        return FS.size(path)

    def open(self, path, mode):
        if path in self.rom:
            return io.BytesIO(self.rom[path])
        if path.startswith("/proc/") or path.startswith("/rom/"):
            raise OSError(2)
        return FS.open(path, mode)


def after_reboot(flashing, version, image=None, failed=b"", same_boot=False):
    """(ids that failed, lines of STATE/failed, is `flashing` still there?)"""
    with Net() as w:
        state = w.conf.state
        FS.mkdirs(state)
        if flashing is not None:
            FS.write_atomic(state + "/flashing", flashing)
        if same_boot:
            FS.mkdirs(w.conf.run + ".image")
            FS.write_atomic(w.conf.run + install.BEGUN, b"100\n")
        FS.write_atomic(state + "/failed", failed)
        w.conf.factory_version = version
        install.flashed(image or Image(), w.conf)
        lines = FS.read(state + "/failed", 9999).split(b"\n")
        return (
            Slots(FS, w.conf.store, state).failed(),
            lines,
            FS.size(state + "/flashing") is not None,
        )


def begun(tries=1, image=None, version="2.0.0"):
    """STATE/flashing as the script writes it, with 1.0.0 running."""
    here = install.image_here(image or Image(), "1.0.0")
    return RID + (" %s %s %s\n" % (version, "." * tries, here)).encode()


def test_image_that_came_as_promised_is_no_failure():
    for tries in (1, 2, 3):
        assert after_reboot(begun(tries), (2, 0, 0), Image(proc_version=b"new")) == (
            [], [b""], False,
        )  # fmt: skip
    assert after_reboot(begun(3), (2, 0, 0)) == ([], [b""], False)  # whatever else looks as before
    assert after_reboot(None, (2, 0, 0)) == ([], [b""], False)


def test_image_that_came_when_it_had_been_given_up_is_forgiven():
    failed = b"aa" * 32 + b" why\n" + RID + b" nothing came of it\n"
    _, lines, there = after_reboot(begun(3), (2, 0, 0), failed=failed)
    assert lines == [b"aa" * 32 + b" why", b""] and not there


def test_image_of_another_version_counts_as_failed_with_the_reason_and_is_not_tried_again():
    """It is told from the one before by any one thing."""
    for rom in (
        {"proc_version": b"Linux version 6.6.74\n"},
        {"proc_mtd": ROM["/proc/mtd"].replace(b"0070", b"0071")},
        {"dev_mtd3": b"hsqs" + bytes(40) + b"\x01" + bytes(159)},
        {"rom_usr_lib_opkg_status": b"Package: base-filet\n"},
        {"rom_usr_lib_opkg_status": bytes(5000)},
        {"rom_lib_apk_db_installed": b"P:base-files\n"},
    ):
        failed, lines, there = after_reboot(
            begun(), (1, 0, 0), Image(**rom), b"aa" * 32 + b" why\n"
        )
        assert [to_hex(f).encode() for f in failed] == [b"aa" * 32, RID] and not there
        assert lines[1] == RID + b" flashed, and the image here says it is 1.0.0"
    many = b"".join([b"%064d why\n" % n for n in range(16)])
    failed, _, _ = after_reboot(begun(), (1, 5, 0), failed=many)
    assert len(failed) == 16 and to_hex(failed[-1]).encode() == RID


def test_old_image_that_starts_again_has_so_many_tries_and_then_has_failed():
    for tries in (1, 2):
        assert after_reboot(begun(tries), (1, 0, 0)) == ([], [b""], True)
    failed, lines, there = after_reboot(begun(3), (1, 0, 0))
    assert [to_hex(f).encode() for f in failed] == [RID] and not there
    assert lines[0] == RID + install.NOTHING and b" %d " % install.TRIES in install.NOTHING


def test_system_without_rom_and_flash_partitions_counts_too():
    bare = Image()
    bare.rom = {}
    assert after_reboot(begun(1, bare), (1, 0, 0), bare) == ([], [b""], True)
    failed, _, _ = after_reboot(begun(3, bare), (1, 0, 0), bare)
    assert len(failed) == 1


def test_before_the_next_boot_nothing_is_judged():
    """sysupgrade has begun, and switchd is started again meanwhile."""
    for version in ((1, 0, 0), (2, 0, 0), (1, 5, 0)):
        assert after_reboot(begun(3), version, same_boot=True) == ([], [b""], True)


def test_garbled_pointer_is_none():
    for data in (b"\xff\xfe\n", b"\n", RID[:-1] + b" 2.0.0 . a", b"x" * 200, RID + b" 2.0.0\n"):
        failed, _, _ = after_reboot(data, (1, 0, 0))
        assert failed == [], data


# --- the scripts


def run_script(w, text, kind, name, made=PAYLOAD, index=PAYLOAD.index):
    m = choose.factory((2, 0, 0)).manifest
    m.rid = sha256(b"r")
    p = manifest_format.parse(manifest(lines=[made.line(kind, "b")], more=WINDOW[kind]))[
        0
    ].payloads[0]
    m.payloads = (p,)
    r = verify.Release(m)
    made.write(FS, w.conf.run + "/images")
    FS.write_atomic(w.conf.run + "/images/" + to_hex(p.pid) + "/index", index)
    install.SCRIPTS, kept = w.root + "/", install.SCRIPTS
    try:
        if text is not None:
            for script in ("install", "install-apk", "flash"):
                FS.write_atomic(w.root + "/" + script, text)

        return install.script(platform.run, FS, w.conf, r, p, name, "/slots/" + to_hex(m.rid))
    finally:
        install.SCRIPTS = kept


WINDOW = {"image": "Window: 0\n", "ipk": "", "apk": "", "slot": ""}


def test_where_there_is_apk_its_script_is_called_for_whatever_is_active():
    with Net() as w:
        install.APK, kept = w.root + "/apk", install.APK
        try:
            for kind in ("apk", "slot"):
                said = run_script(w, b'echo "$0" >"$4"; exit 3\n', kind, "activate")
                assert said == w.root + "/install"
            FS.write_atomic(w.root + "/apk", b"")
            for kind in ("apk", "slot"):
                said = run_script(w, b'echo "$0" >"$4"; exit 3\n', kind, "activate")
                assert said == w.root + "/install-apk"
            said = run_script(w, b'echo "$0" >"$4"; exit 3\n', "image", "flash")
            assert said == w.root + "/flash"
        finally:
            install.APK = kept


def test_script_is_told_all_it_needs_and_its_last_word_is_the_reason():
    with Net() as w:
        said = run_script(w, b'echo "$*" >"$4"; exit 3\n', "ipk", "activate")
        rid = to_hex(sha256(b"r"))
        assert said == "activate /slots/%s ipk %s.why %s %s 60 linksys,wrt54gs nobody" % (
            rid, w.conf.run, w.conf.state, w.conf.run,
        )  # fmt: skip
        said = run_script(w, b'echo "$*" >"$4"; exit 3\n', "image", "flash")
        assert said.endswith(
            " linksys,wrt54gs nobody 2.0.0 %d %s %s %s ..."
            % (
                len(PAYLOAD.data), to_hex(PAYLOAD.pid), to_hex(sha256(PAYLOAD.data)),
                install.image_here(FS, "1.0.0"),
            )
        )  # fmt: skip
        assert run_script(w, b"true\n", "ipk", "prepare") == 0
        said = run_script(w, b'printf "a\\377b\\n" >"$4"; exit 1\n', "ipk", "prepare")
        assert said == "ab"


def test_image_that_is_packed_is_not_flashed():
    with Net() as w:
        made = Made(packed(bytes(4096), ZEROS))
        said = run_script(w, b"exit 0\n", "image", "flash", made, made.index)
        assert "packed" in said


def test_script_that_says_nothing_and_one_that_is_missing_have_a_reason_too():
    with Net() as w:
        assert run_script(w, None, "slot", "activate") == 0
        assert run_script(w, None, "ipk", "activate") == "not now: %s/install is missing" % w.root
        assert run_script(w, None, "image", "flash").endswith("/flash is missing")
        assert run_script(w, b"exit 9\n", "ipk", "activate") == "not now: it exited with 9"


def test_script_that_sysupgrade_has_ended_gives_no_verdict_whatever_was_said_before():
    with Net() as w:
        assert run_script(w, b'echo why >"$4"; exit 1\n', "image", "flash") == "why"
        for script in (b"exit 246\n", b"kill -9 $$\n", b': >"$4"; exit 1\n'):
            assert run_script(w, script, "image", "flash").startswith("not now: "), script


def test_index_that_the_network_side_has_changed_is_not_used():
    with Net() as w:
        for index in (b"", PAYLOAD.index[:-1], PAYLOAD.index + b"x", bytes(40000)):
            said = run_script(w, b"exit 9\n", "image", "flash", index=index)
            assert said == "not now: the index does not hold"
