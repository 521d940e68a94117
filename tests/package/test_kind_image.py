"""files/usr/lib/swdist/flash under busybox's ash: what it lets through to sysupgrade, and what not.

There is no sysupgrade here. The one of these tests takes the file it is given, and what it would
keep, and then the router is gone, all processes of the script with it."""

import hashlib
import shutil
import zlib

import pytest
from packing import ROOT
from router import Failed

FILES = ROOT / "files/usr/lib/swdist"
STATE, RUN, WHY = "/usr/share/swdist/state", "/var/run/swdist", "/var/run/swdist.why"
ID, PAYLOAD = "ab" * 32, "cd" * 32
IMAGE = f"{RUN}/images/{PAYLOAD}/payload"
FLASHES = """cp "$1" /tmp/flashed
mkdir /tmp/backup
while read -r name; do cp $name /tmp/backup; done <"/lib/upgrade/keep.d/swdist" 2>/dev/null
kill -9 0
"""


def trx(body, magic=b"HDR0", crc=None, length=None):
    """As firmware-utils make it: the CRC is over all behind it, and not inverted."""
    body += bytes(-len(body) % 4)
    length = 28 + len(body) if length is None else length
    behind = bytes([0, 0, 1, 0]) + (28).to_bytes(4, "little") + bytes(8) + body
    crc = zlib.crc32(behind) ^ 0xFFFFFFFF if crc is None else crc
    return magic + length.to_bytes(4, "little") + crc.to_bytes(4, "little") + behind


def linksys(image, pattern=b"W54S", magic=b"U2ND"):
    return pattern + bytes(10) + magic + bytes(14) + image


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
        self.sysupgrade(FLASHES)

    def write(self, name, data):
        (self.root / name.lstrip("/")).write_bytes(data)

    def memory(self, kb, mtd=""):
        (self.root / "tmp/proc").mkdir(exist_ok=True)
        self.write("tmp/proc/meminfo", b"MemFree: 9 kB\nMemAvailable:   %d kB\n" % kb)
        self.write("tmp/proc/mtd", mtd.encode())

    def sysupgrade(self, text):
        path = self.root / "bin/sysupgrade"
        path.write_text(f'#!/bin/sh\necho "$*" >>/tmp/called\n{text}')
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

    def flash(self, board="linksys,wrt54gs", user="nobody"):
        """None if the router has gone down, else why not."""
        (self.root / WHY[1:]).unlink(missing_ok=True)
        words = f"flash {STATE}/slots/{ID} image {WHY} {STATE} {RUN} 60 {board} '{user}' 2.0.0"
        try:
            self.router.run(
                f"SWDIST_PROC=/tmp/proc setsid sh /usr/lib/swdist/flash {words} {self.signed}"
            )
        except Failed as e:
            why = self.root / WHY[1:]
            if why.exists():
                # Then everything is as if it had not been.
                assert not (self.root / f"{RUN}.image"[1:]).exists()
                assert not (self.root / STATE[1:] / "flashing").exists()
                return why.read_text().strip()
            assert ": -9\n" in str(e), e
        return None

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
    assert system.flash(board) is None
    assert system.flashed() == image
    assert system.text("tmp/called") == f"{RUN}.image/image\n"  # without -n
    assert system.text(f"{STATE}/flashing") == f"{ID} 2.0.0\n"
    kept = {path.name for path in (system.root / "tmp/backup").iterdir()}
    assert kept == {"flashing", "failed", "lot"}  # and not flashing.old


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
    system.sysupgrade('[ "$1" != -T ] || { echo "not for this device"; exit 1; }\n' + FLASHES)
    system.put(b"anything")
    assert system.flash("tplink,wdr3600") == "sysupgrade refuses it: not for this device"
    system.sysupgrade('[ "$1" != -T ] || exit 0\n' + FLASHES)
    system.put(b"anything")
    assert system.flash("tplink,wdr3600") is None
    assert system.flashed() == b"anything"


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
    assert system.flash() is None


def test_without_sysupgrade_it_says_so(system):
    (system.root / "bin/sysupgrade").unlink()
    system.refuses("there is no sysupgrade here")


def test_network_side_that_still_has_it_open_is_ended_and_all_is_verified_again(system):
    """It writes to the file when that was verified once."""
    system.sysupgrade(
        """[ "$1" = -T ] || exit 1
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
    system.put(GOOD)
    assert system.flash() is None
    running = system.router.run("ps")
    assert "sleep 986" in running and "sleep 987" not in running


@pytest.mark.parametrize("user", ["", "root", "gone"])
def test_where_the_network_side_has_no_user_of_its_own_nothing_is_ended(system, user):
    system.router.run("sleep 986 >/dev/null 2>&1 &")
    system.put(GOOD)
    assert system.flash(user=user) is None and system.flashed() == GOOD
    assert "sleep 986" in system.router.run("ps")


def test_sysupgrade_that_fails_is_heard_and_the_reason_kept(system):
    system.sysupgrade("echo one; echo 'Image check failed.' >&2; exit 7\n")
    system.put(GOOD)
    assert system.flash() == "sysupgrade exited with 7: Image check failed."
    assert not (system.root / STATE[1:] / "flashing.old").exists()


def test_sysupgrade_that_does_nothing_is_found_out(system):
    script = system.root / "usr/lib/swdist/flash"
    script.write_text(script.read_text().replace("REBOOT_S=600", "REBOOT_S=1"))
    system.sysupgrade("exit 0\n")
    system.put(GOOD)
    assert system.flash() == "sysupgrade has taken it, but nothing came of it"


def test_what_never_comes_is_begun_three_times(system):
    """The power goes, or the machine comes up again with the old image."""
    system.sysupgrade("kill -9 0\n")
    for tries in range(1, 4):
        system.put(GOOD)
        assert system.flash() is None
        assert system.text(f"{STATE}/flashing.old") == f"{ID} {'.' * tries}\n"
    system.put(GOOD)
    assert system.flash() == "begun 3 times, and it is still the old image that starts"
    assert system.text("tmp/called").count("\n") == 3


def test_power_cut_at_each_write_to_the_flash_is_no_failure(system):
    """What is left is what the next start takes for a flash that was not done, or nothing."""
    cutting = """
step() {
	echo "$1" >>/tmp/calls
	[ "$(wc -l </tmp/calls)" -le "$(cat /tmp/cut)" ] || kill -9 0
	command "$@"
}
for name in mv sync cat sysupgrade; do eval "$name() { step $name \\"\\$@\\"; }"; done
"""
    script = system.root / "usr/lib/swdist/flash"
    first, _, rest = script.read_text().partition("\n")
    script.write_text(f"{first}\n{cutting}{rest}".replace("cat /tmp/cut", "head -n 1 /tmp/cut"))
    for cut in range(99):
        for name in ("flashing", "flashing.old", "flashing.tmp", "flashing.old.tmp"):
            (system.root / STATE[1:] / name).unlink(missing_ok=True)
        (system.root / "tmp/calls").unlink(missing_ok=True)
        system.write("tmp/cut", b"%d\n" % cut)
        system.put(GOOD)
        assert system.flash() is None
        if system.flashed() is not None:
            break
        assert not system.text(f"{STATE}/flashing") or system.text(f"{STATE}/flashing.old")
    assert system.flashed() == GOOD and cut > 8
