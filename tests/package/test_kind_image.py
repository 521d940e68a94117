"""files/usr/lib/swdist/flash under busybox's ash: what it lets through to sysupgrade, and what not.

sysupgrade.sh stands for sysupgrade and procd: it says "Connection failed", and takes the image
later, when all processes of the script are gone."""

import hashlib
import shutil
import time

import pytest
from packing import ROOT
from router import LIMIT_S, Failed

from lab.firmware import linksys, trx

FILES = ROOT / "files/usr/lib/swdist"
STATE, RUN, WHY = "/etc/swdist/state", "/var/run/swdist", "/var/run/swdist.why"
ID, PAYLOAD = "ab" * 32, "cd" * 32
IMAGE = f"{RUN}/images/{PAYLOAD}/payload"
SYSUPGRADE = (ROOT / "tests/package/sysupgrade.sh").read_text()
BEGUN = "not now: sysupgrade has begun"
TRIES = 3
HERE = "0123456789abcdef"  # what tells the image that runs


BODY = bytes(i * i % 251 for i in range(30000))
GOOD = linksys(trx(BODY))


class System:
    def __init__(self, router):
        self.router = router
        self.root = router.root
        for folder in (STATE, f"{RUN}/images/{PAYLOAD}", "/usr/lib/swdist", "/lib/upgrade/keep.d"):
            (self.root / folder[1:]).mkdir(parents=True)
        for name in ("flash", "functions.sh"):
            (self.root / "usr/lib/swdist" / name).write_text((FILES / name).read_text())
        keep = ROOT / "files/lib/upgrade/keep.d/swdist"
        (self.root / "lib/upgrade/keep.d/swdist").write_text(keep.read_text())
        self.memory(8000)
        self.uptime(1000)
        self.sysupgrade(SYSUPGRADE)

    def write(self, name, data):
        (self.root / name.lstrip("/")).write_bytes(data)

    def memory(self, kb, mtd=""):
        (self.root / "tmp/proc").mkdir(exist_ok=True)
        self.write("tmp/proc/meminfo", b"MemFree: 9 kB\nMemAvailable:   %d kB\n" % kb)
        self.write("tmp/proc/mtd", mtd.encode())

    def uptime(self, seconds):
        self.write("tmp/proc/uptime", b"%d.25 99.99\n" % seconds)

    def sysupgrade(self, text):
        path = self.root / "bin/sysupgrade"
        path.write_text(text)
        path.chmod(0o755)

    def as_nobody(self, command):
        self.router.put(shutil.which("setpriv"), "bin/as")  # busybox's knows less
        nobody = "as --reuid 65534 --regid 65534 --clear-groups"
        self.router.run(f"{nobody} setsid {command} >/dev/null 2>&1 &")
        assert command in self.router.wait(f"ps | grep '{command}' | grep -v grep")

    def put(self, image, signed=None):
        """signed: what the CA has signed, if not that."""
        signed = image if signed is None else signed
        self.write(IMAGE, image)
        self.signed = f"{len(signed)} {PAYLOAD} {sha256(signed)}"

    def flash(self, board="linksys,wrt54gs", user="nobody", after_s=0):
        """Why it is not flashed; None if the script was ended."""
        (self.root / WHY[1:]).unlink(missing_ok=True)
        words = f"flash {STATE}/slots/{ID} image {WHY} {STATE} {RUN} 60 {board} '{user}' 2.0.0"
        words += f" {self.signed} {HERE} {'.' * TRIES}"
        try:
            self.router.run(
                f"SYSUPGRADE_S={after_s} SWDIST_PROC=/tmp/proc setsid "
                f"sh /usr/lib/swdist/flash {words}"
            )
        except Failed as e:
            why = self.text(WHY)
            if why is None:
                assert ": -9\n" in str(e) or ": 137\n" in str(e), e
            elif why.strip() != BEGUN and "times" not in why:
                # Then everything is as if it had not been.
                assert not (self.root / f"{RUN}.image"[1:]).exists()
                assert not (self.root / STATE[1:] / "flashing").exists()
            return why and why.strip()
        raise AssertionError("it has never gone well when it comes back")

    def upgrade(self, **more):
        """The image that was flashed."""
        assert self.flash(**more) in (None, BEGUN)
        return self.rebooted()

    def boot(self):
        """The router comes up again, with the image before: what was in RAM is gone."""
        self.router.run(f"rm -rf {RUN}.image {WHY}* /tmp/called /tmp/rebooted /tmp/backup")
        self.uptime(30)

    def rebooted(self):
        """Waits until sysupgrade has written what it could read, and how that is: the image."""
        limit = time.monotonic() + LIMIT_S
        while not (self.root / "tmp/rebooted").exists():
            assert time.monotonic() < limit
            time.sleep(0.05)
        return self.flashed()

    def text(self, name):
        path = self.root / name.lstrip("/")
        return path.read_text() if path.exists() else None

    def flashed(self):
        path = self.root / "tmp/flashed"
        return path.read_bytes() if path.exists() else None

    def refuses(self, why, image=GOOD, **more):
        self.put(image)
        assert why in self.flash(**more)
        assert self.flashed() is None and self.text("tmp/called") is None


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def system(router):
    return System(router)


@pytest.mark.parametrize(
    "board, image",
    [
        ("linksys,wrt54gs", GOOD),
        ("linksys,wrt54gs-v4", linksys(trx(BODY + b"x"))),
        ("linksys,wrt54gs", trx(BODY)),
        ("linksys,wrt54gs", GOOD + b"metadata behind it"),
        ("linksys,wrt54gl", linksys(trx(BODY), b"W54G")),
        ("linksys,wrt54g", linksys(trx(BODY), b"W54G")),
    ],
)
def test_image_for_this_board_is_flashed_byte_for_byte_and_configuration_kept(system, board, image):
    system.put(image)
    system.write(f"{STATE}/failed", b"cd" * 32 + b" why\n")
    system.write(f"{STATE}/lot", bytes(16))
    assert system.upgrade(board=board) == image
    assert system.text("tmp/called") == f"{RUN}.image/image\n"  # without -n
    assert system.text(f"{STATE}/flashing") == f"{ID} 2.0.0 . {HERE}\n"
    kept = {path.name for path in (system.root / "tmp/backup").iterdir()}
    assert kept == {"flashing", "failed", "lot"}


@pytest.mark.parametrize(
    "image, why",
    [
        (linksys(trx(BODY), b"W54G"), "its first bytes are not those"),
        (linksys(trx(BODY), b"\0\0\0\0"), "its first bytes are not those"),
        (b"\x7fELF" + bytes(9000), "its first bytes are not those"),
        (linksys(trx(BODY), magic=b"U2NE"), "U2ND is missing"),
        (linksys(trx(BODY, magic=b"HDR1")), "there is no TRX in it"),
        (b"W54S", "U2ND is missing"),
        (GOOD[:32], "there is no TRX in it"),
        (GOOD[:44], "its TRX should have"),
        (GOOD[:-1], "its TRX should have"),
        (GOOD[:-4096], "its TRX should have"),
        (linksys(trx(BODY, length=0xFFFFFFFF)), "its TRX should have"),
        (linksys(trx(BODY, length=28)), "its TRX should have"),
        (linksys(trx(BODY, length=0)), "its TRX should have"),
        (linksys(trx(BODY, crc=0)), "the CRC of its TRX is wrong"),
        (linksys(trx(BODY, length=28 + 29996)), "the CRC of its TRX is wrong"),
        (GOOD[:-9] + b"x" + GOOD[-8:], "the CRC of its TRX is wrong"),
        (trx(BODY, crc=1), "the CRC of its TRX is wrong"),
    ],
)
def test_image_that_is_not_for_this_board_or_not_whole_is_never_flashed(system, image, why):
    """Though the CA has signed it."""
    system.refuses(why, image)


def test_board_whose_images_are_not_known_gets_none(system):
    system.refuses("how to know an image for linksys,wrt54g3g", board="linksys,wrt54g3g")


def test_other_boards_are_sysupgrades_to_judge(system):
    system.put(b"anything")
    system.write("tmp/refuses", b"Device tplink,wdr3600 not supported\n")
    why = "sysupgrade refuses it: Reading the image; Device tplink,wdr3600 not supported"
    assert system.flash("tplink,wdr3600") == why
    assert system.text("tmp/called") == f"-T {RUN}.image/image\n"
    (system.root / "tmp/refuses").unlink()
    system.put(b"anything")
    assert system.upgrade(board="tplink,wdr3600") == b"anything"


def test_bytes_that_the_ca_has_not_signed_are_not_looked_at(system):
    for bad in (GOOD[:-1] + b"x", b"x" + GOOD[1:], GOOD[:5000] + b"x" + GOOD[5001:]):
        system.put(bad, GOOD)
        assert system.flash() == "not now: the image does not hold"
    for bad in (GOOD[:-1], GOOD + b"x", b""):
        system.put(bad, GOOD)
        assert system.flash().startswith("not now: the image is not whole")
    assert system.text("tmp/called") is None


def test_link_another_name_and_a_pipe_in_the_place_of_the_image_are_not_taken(system):
    system.put(GOOD)
    path = system.root / IMAGE[1:]
    system.router.run(f"ln {IMAGE} /tmp/another")
    assert "has another name" in system.flash()
    for make in (f"ln -s /tmp/another {IMAGE}", f"mkfifo {IMAGE}", f"mkdir {IMAGE}"):
        system.router.run(make)
        assert system.flash() == "not now: the image is no file"
        assert not path.exists()
    assert system.flash() == "not now: the image is not here"
    assert (system.root / "tmp/another").read_bytes() == GOOD


def test_too_little_memory_and_too_little_flash_are_said(system):
    system.memory(2047)
    system.refuses("not now: of memory 2047 KiB are available, not 2048")
    assert (system.root / IMAGE[1:]).exists()  # it stays where it is
    system.write("tmp/proc/meminfo", b"MemFree: 99999 kB\n")
    system.refuses("not now: of memory 0 KiB")
    mtd = (
        'dev:    size   erasesize  name\nmtd0: 00040000 00010000 "boot"\nmtd1: %08x 00010000 "%s"\n'
    )
    for label in ("firmware", "linux"):
        system.memory(8000, mtd % (len(GOOD) - 33, label))
        system.refuses(f"it has {len(GOOD) - 32} bytes, and the flash {len(GOOD) - 33}")
    system.memory(8000, mtd % (len(GOOD) - 32, "firmware"))
    system.put(GOOD)
    assert system.upgrade() == GOOD


def test_without_sysupgrade_it_says_so(system):
    (system.root / "bin/sysupgrade").unlink()
    system.refuses("there is no sysupgrade here")


def test_network_side_that_still_has_it_open_is_ended_and_all_is_verified_again(system):
    """It writes to the file when that was verified once."""
    system.sysupgrade(
        """#!/bin/sh
[ "$1" = -T ] || exit 1
: >/tmp/go
while [ ! -e /tmp/done ]; do sleep 0.05; done
"""
    )
    evil = f"""exec 3<>{IMAGE}
: >/tmp/open
while [ ! -e /tmp/go ]; do sleep 0.05; done
printf evil >&3
: >/tmp/done
sleep 987
"""
    system.put(GOOD)
    system.write("tmp/evil", evil.encode())
    system.router.run(f"chown nobody {IMAGE} && chmod 777 /tmp")
    system.as_nobody("sh /tmp/evil")
    system.router.wait("ls /tmp/open")
    assert system.flash("tplink,wdr3600") == "not now: the image has changed"
    assert "sleep 987" not in system.router.run("ps")


def test_processes_of_the_network_side_are_gone_when_it_is_flashed_and_others_are_not(system):
    system.as_nobody("sleep 987")
    system.router.run("sleep 986 >/dev/null 2>&1 &")
    system.write("tmp/never", b"")
    system.put(GOOD)
    assert system.flash() == BEGUN
    running = system.router.run("ps")
    assert "sleep 986" in running and "sleep 987" not in running


@pytest.mark.parametrize("user", ["", "root", "gone"])
def test_where_the_network_side_has_no_user_of_its_own_nothing_is_ended(system, user):
    system.router.run("sleep 986 >/dev/null 2>&1 &")
    system.write("tmp/never", b"")
    system.put(GOOD)
    assert system.flash(user=user) == BEGUN
    assert "sleep 986" in system.router.run("ps")


@pytest.mark.parametrize(
    "name, said, why",
    [
        ("refuses", "Wrong magic.", "Reading the image; Wrong magic."),
        ("fails", "Failed to create the configuration backup.", None),
        ("fails", "Invalid image type.\nImage check 'check_crc' failed.", "Invalid image type."),
        (
            "fails",
            "No for a,b\nDevices: c,d\nLooking\nImage check failed.",
            "No for a,b; Devices: c,d; Looking",
        ),
    ],
)
def test_refusal_before_it_has_begun_has_its_real_reason_and_leaves_nothing(
    system, name, said, why
):
    system.write(f"tmp/{name}", said.encode() + b"\n")
    system.put(GOOD)
    assert system.flash() == "sysupgrade refuses it: " + (why or said)
    assert system.flashed() is None


@pytest.mark.parametrize("status", [0, 1, 2, 137, 246])
def test_once_it_has_begun_nothing_is_cleaned_up_whatever_it_returns(system, status):
    system.write("tmp/never", b"")
    system.sysupgrade(SYSUPGRADE.replace("exit 246", f"exit {status}"))
    system.write("bin/ubusd", b"#!/bin/sh\nsleep 985\n:\n")
    system.router.run("chmod 755 /bin/ubusd; ubusd >/dev/null 2>&1 &")
    assert "ubusd" in system.router.wait("ps | grep '[b]in/ubusd'")
    system.put(GOOD)
    assert system.flash() == BEGUN
    assert "bin/ubusd" not in system.router.run("ps")  # who called it is alone now
    assert (system.root / f"{RUN}.image/image"[1:]).read_bytes() == GOOD
    assert system.text(f"{STATE}/flashing") == f"{ID} 2.0.0 . {HERE}\n"
    # And it is not begun again.
    system.put(GOOD)
    system.uptime(1000 + 599)
    assert system.flash() == BEGUN
    assert system.text("tmp/called").count("\n") == 1
    assert (system.root / f"{RUN}.image/image"[1:]).read_bytes() == GOOD


@pytest.mark.parametrize("status", [2, 3, 246])
def test_what_ends_before_its_line_without_a_refusal_may_have_begun(system, status):
    system.sysupgrade(f"#!/bin/sh\nexit {status}\n")
    system.put(GOOD)
    assert system.flash() == BEGUN
    assert (system.root / f"{RUN}.image/image"[1:]).exists()


@pytest.mark.parametrize("after_s", [0, 0.2, 0.4, 0.5, 0.6, 1])
def test_image_is_there_when_it_is_read_whenever_the_script_is_ended(system, after_s):
    """And what the next boot judges by."""
    system.put(GOOD)
    assert system.upgrade(after_s=after_s) == GOOD
    assert system.text(f"{STATE}/flashing") == f"{ID} 2.0.0 . {HERE}\n"


def test_upgrade_that_never_happens_has_failed_after_so_many_tries_and_the_router_stays_up(system):
    system.write("tmp/never", b"")
    for tries in range(1, TRIES + 1):
        system.uptime(1000 * tries)
        if tries != 2:  # the network side had room to fetch it again, or not
            system.put(GOOD)
        assert system.flash() == BEGUN
        assert system.text(f"{STATE}/flashing") == f"{ID} 2.0.0 {'.' * tries} {HERE}\n"
    for later in (4, 5):
        system.uptime(1000 * later)
        assert system.flash() == "sysupgrade has begun 3 times, and nothing came of it"
    assert system.text("tmp/called").count("\n") == TRIES
    # Also now only the next boot knows.
    assert system.text(f"{STATE}/flashing") and (system.root / f"{RUN}.image/image"[1:]).exists()


def test_tries_count_over_boots_and_anew_for_another_release(system):
    """The power goes, or the machine comes up again with the old image."""
    system.write("tmp/never", b"")
    for tries in range(1, TRIES + 1):
        system.put(GOOD)
        assert system.flash() == BEGUN
        assert system.text(f"{STATE}/flashing") == f"{ID} 2.0.0 {'.' * tries} {HERE}\n"
        system.boot()
    system.put(GOOD)
    assert system.flash() == "sysupgrade has begun 3 times, and nothing came of it"
    assert system.text("tmp/called") is None
    system.write(f"{STATE}/flashing", f"{'ef' * 32} 2.0.0 ... {HERE}\n".encode())
    assert system.flash() == BEGUN
    assert system.text(f"{STATE}/flashing") == f"{ID} 2.0.0 . {HERE}\n"


def test_flash_that_can_t_be_written_is_no_reason_to_begin_uncounted(system):
    (system.root / STATE[1:] / "flashing.tmp").mkdir()
    system.refuses("not now: flash can't be written")


CUTTING = """
step() {
	echo "$1" >>/tmp/calls
	[ "$(wc -l </tmp/calls)" -le "$(head -n 1 /tmp/cut)" ] || kill -9 0
	command "$@"
}
for name in mv sync cat sysupgrade rm grep sed; do eval "$name() { step $name \\"\\$@\\"; }"; done
"""


def test_cut_at_each_step_is_no_verdict_and_never_begun_uncounted(system):
    """What is left is what the next start takes for an image that was not begun, or counts."""
    script = system.root / "usr/lib/swdist/flash"
    first, _, rest = script.read_text().partition("\n")
    script.write_text(f"{first}\n{CUTTING}{rest}")
    system.write("tmp/never", b"")
    counted = []
    for cut in range(99):
        (system.root / STATE[1:] / "flashing").unlink(missing_ok=True)
        system.router.run(f"rm -rf {STATE}/flashing.tmp /tmp/calls {RUN}.image")
        system.boot()
        system.write("tmp/cut", b"%d\n" % cut)
        system.put(GOOD)
        why = system.flash()
        counted.append(system.text(f"{STATE}/flashing") == f"{ID} 2.0.0 . {HERE}\n")
        if system.text("tmp/called") is not None:
            assert counted[-1] and (system.root / f"{RUN}.image/image"[1:]).read_bytes() == GOOD
        if why is not None:
            break
    assert why == BEGUN and cut > 12
    assert counted == sorted(counted) and not counted[0]  # once it is there, it stays
