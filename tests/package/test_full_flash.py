"""Real daemons on flash of a WRT54GS's size that is really full: a tmpfs of 1 MB.

See test_self_update.py for the router and the laptop beside it."""

import os

import pytest
from test_self_update import Field

KIB = 1024
FLASH_KIB = 1024
HOME = "usr/share/swdist"


@pytest.fixture
def field(router, packages, ca, tmp_path):
    folder = tmp_path / "laptop"
    folder.mkdir()
    router.run(f"mkdir -p /{HOME} && mount -t tmpfs -o size={FLASH_KIB}k tmpfs /{HOME}")
    field = Field(router, packages, ca, folder)
    yield field
    field.leave()


class Flash:
    """The router's flash, as it sees it: the mount is in its namespace alone."""

    def __init__(self, router):
        self.router = router

    def free_kib(self):
        return int(self.router.run(f"df -k /{HOME} | tail -n 1").split()[3])

    def read(self, name):
        return self.router.run(f"cat /{HOME}/{name} 2>/dev/null", check=False)

    def names(self, rid):
        return set(self.router.run(f"ls /{HOME}/store/releases/{rid}").split())


def tree(folder, kib):
    folder.mkdir()
    (folder / "firmware").write_bytes(os.urandom(kib * KIB))
    return folder


@pytest.mark.slow
def test_flash_that_is_really_full_takes_the_next_release_that_fits(field, tmp_path):
    flash = Flash(field.router)

    def said(text):
        lines = (field.router.root / "var/log/messages").read_text().splitlines()
        return [line for line in lines if text in line]

    def give(version, kib):
        return field.hand_in(version, "--payload", tree(tmp_path / version, kib))

    def runs(rid):
        return flash.read("state/confirmed") == flash.read("state/active") == rid + "\n"

    for version in ("1.1.0", "1.2.0"):  # each in the store, and the one that runs in its slot
        rid = give(version, 150)
        field.wait(lambda rid=rid: runs(rid), f"{version} confirmed")
    # The third can be held, but not unpacked beside the second.
    give("1.3.0", 376)
    field.wait(
        lambda: said("release 1.3.0-r0") and said("failed: disk: 28"), "ENOSPC when unpacked"
    )
    # The fourth can't even be held. Some flash is left to switch and to go back, whatever comes.
    give("1.4.0", 400)
    field.wait(lambda: said("store: flash is full"), "ENOSPC when fetched")
    assert flash.free_kib() >= 16
    assert runs(rid) and field.state("failed") == ""
    # So what helps can come: its withdrawal, and a release that fits.
    gone = field.hand_in("1.4.0", "--revision", "1", "--withdraw")
    field.wait(lambda: said(f"verified release 1.4.0-r1 ({gone[:8]})"), "the withdrawal")
    small = give("1.5.0", 20)
    field.wait(lambda: runs(small), "1.5.0 confirmed")
    # What is larger than the quota is refused before anything of it is fetched.
    large = give("1.6.0", 2 * FLASH_KIB)
    line = "payload of release 1.6.0-r0"
    field.wait(lambda: said(line), "the refusal")
    assert f"needs {2 * FLASH_KIB + 1} KB, quota_kb has" in said(line)[0]
    assert flash.names(large) == {"manifest", "signatures"}
    # Full flash is said once until a piece is kept again: a smaller one may fit after a larger one.
    assert len(said(line)) == 1 and len(said("store: flash is full")) <= 3
    assert runs(small) and not said("Traceback")
