"""A whole image goes through a mesh of routers, always 6, from hand to hand into RAM, and each of
its board flashes it within the signed window."""

import hashlib
import re
import signal
import time

from lab.namespaces import acts, router
from lab.namespaces.stage import LAPTOP, TAMPERER
from swdist_host import release

DOOR = "demo"
LOOPBACK = False  # a router has namespaces of its own
#   laptop
#      |
#     n0 -- n1 -- n2 -- n3 -- n4      n4 is off while the window is open
#      |     |
# tamperer  n5
GS, SIGNED_TOO, OTHER = "linksys,wrt54gs", "tplink,tl-wdr3600-v1", "ubnt,nanostation-m"
BOARDS = (GS, GS, SIGNED_TOO, GS, GS, OTHER)
LINKS = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 5)]
LEAD_S, WINDOW_S = 25, 12
MARGIN_S = 15  # to look, to check the image, to be taken by sysupgrade, to come up again, to say so
RELAY_S = 100  # four hops of a wish, each 25 s at most (docs/protocol.md, section 6.3)
BULK_BYTES = 300_000
DRAWN = re.compile(r"will be flashed in (\d+) s")
BEFORE, VERSION, NEXT = "1.1.0", "2.0.0", "2.0.1"


def cast(stage):
    """In the place of the grid: two kinds of routers that the image is signed for, and one that it
    is not."""
    stage.links = LINKS
    names = [f"n{i}" for i in range(len(BOARDS))]
    stage.connect(names, {LAPTOP: 0, TAMPERER: 0})
    ipks = router.packages(stage.folder / "ipk", stage.ca)
    bulk = stage.random.randbytes(BULK_BYTES)
    factory = router.image(stage.folder / "factory", ipks, "1.0.0", bulk)
    bulk = stage.random.randbytes(BULK_BYTES)
    stage.image = router.image(stage.folder / "image", ipks, VERSION, bulk)
    stage.next = router.image(stage.folder / "next", ipks, NEXT, bulk)
    rom = router.make_rom(stage.folder / "rom", stage.python[0])
    for i, name in enumerate(names):
        wrong = stage.wrong_clock(i)
        node = router.Router(
            name, stage.folder / name, stage.world, rom, factory, BOARDS[i], *wrong
        )
        stage.nodes.append(node)


def play(stage):
    Image(stage).run()


class Image:
    def __init__(self, stage):
        self.stage = stage
        self.wait, self.expect, self.say = stage.wait, stage.expect, stage.say
        self.nodes = stage.nodes
        self.n0, self.refuser, self.late, self.other = (stage.nodes[i] for i in (0, 2, 4, 5))
        self.takers = self.nodes[:4]  # who fetch it in time
        self.flashers = [n for n in self.nodes if n.board == GS]

    def run(self):
        self.begin()
        path = self.offer()
        self.spoil()
        self.window()
        self.catch_up(path)
        self.judge()
        self.again()

    def begin(self):
        """All run a slot before, which is something that they have to keep."""
        stage = self.stage
        for i, board in enumerate(BOARDS):
            self.say(f"n{i} is a {board}, {stage.hops[i]} hops from n0")
        acts.power_up(stage)
        path = stage.release(BEFORE, int(time.time()), size=100_000)
        self.before = release.load(path).parsed.payloads[0].pid.hex()
        stage.seed(path)
        self.wait(f"runs {BEFORE}, confirmed", 40, self.has_confirmed, self.nodes)
        self.expect(f"all {len(self.nodes)} nodes run {BEFORE}, a slot", True)
        self.late.stop(signal.SIGKILL)
        self.say(f"{self.late.name}: power cut. It will miss the window")

    def has_confirmed(self, node):
        switch = node.switch()
        return node.active() == BEFORE and switch["confirmed"] == switch["active"]["id"]

    def offer(self):
        """The operator's own commands make the release, and a stranger has a damaged copy of it."""
        stage = self.stage
        file, path = stage.folder / "image.bin", stage.folder / f"{VERSION}.swd"
        file.write_bytes(stage.image)
        made = stage.build(
            path, VERSION, "--image", f"{file}@{GS}@{SIGNED_TOO}", "--start", f"+{LEAD_S}s",
            "--window", f"{WINDOW_S}s",
        )  # fmt: skip
        self.rid, self.pid = made.rid.hex(), made.payloads[0].pid.hex()
        self.start_s = made.start_s
        self.say(
            f"{VERSION} ({self.rid[:8]}) is an image of {len(stage.image):,} bytes, signed for"
        )
        self.say(f"{GS} and {SIGNED_TOO}, to be flashed within {WINDOW_S} s")
        self.say("a stranger beside n0 offers it with a changed byte in each chunk")
        stage.hostile(TAMPERER, ["--tamper", path])
        self.wait("a changed chunk is refused", 20, lambda: stage.refusals("digest"))
        self.expect("a damaged image is refused, whoever offers it", True,
                    stage.refusals("digest")[0].partition(": ")[2])  # fmt: skip
        began = time.monotonic()
        stage.seed(path)
        self.say("the laptop beside n0 seeds the true one")
        self.wait(f"has all of {VERSION}", self.start_s - time.time(), self.has_all, self.takers,
                  lambda: stage.show_coverage(VERSION, self.takers))  # fmt: skip
        self.expect(f"{len(self.takers)} nodes in a line have all of it before it starts", True,
                    f"{time.monotonic() - began:.1f} s after it was offered")  # fmt: skip
        in_ram = [n for n in self.takers if self.held(n) == stage.image]
        on_flash = [n.name for n in self.nodes if (n.store / "payloads" / self.pid).exists()]
        self.expect("they hold it in RAM, byte for byte, and nobody on flash",
                    in_ram == self.takers and not on_flash, " ".join(on_flash))  # fmt: skip
        return path

    def has_all(self, node):
        return node.release(VERSION).get("complete")

    def held(self, node):
        try:
            return (node.run / "images" / self.pid / "payload").read_bytes()
        except OSError:
            return b""

    def spoil(self):
        """What a network side that was broken into could do."""
        with open(self.n0.run / "images" / self.pid / "payload", "r+b") as f:
            f.seek(len(self.stage.image) // 2)
            byte = f.read(1)[0]
            f.seek(-1, 1)
            f.write(bytes([byte ^ 1]))
        self.say("n0: a byte of it changes in RAM, after it was verified")

    def new(self, node):
        """Does it run the image, and say so?"""
        return node.active() == VERSION and node.net().get("version") == VERSION

    def window(self):
        last_s = self.start_s + router.WAIT_S + WINDOW_S
        early = [n for n in self.flashers if n not in (self.n0, self.late)]
        self.wait(f"runs {VERSION}", last_s + MARGIN_S - time.time(), self.new, early,
                  self.show_versions)  # fmt: skip
        after = f"{MARGIN_S} s after the window at the latest"
        self.expect(f"{len(early)} nodes run {VERSION}, {after}", True)
        # The first: until sysupgrade ends it, it may draw again, in vain.
        drawn = [int(s) for n in early for s in DRAWN.findall(n.log("switchd"))[:1]]
        at = [n.calls()[0][0] - self.start_s for n in early]
        self.expect(
            "each has drawn an instant of the window, and waited for it",
            len(drawn) == len(early)
            and all(router.WAIT_S <= s <= router.WAIT_S + WINDOW_S for s in drawn)
            and all(s >= least for s, least in zip(at, drawn)),
            f"{' and '.join(map(str, drawn))} s, and flashed {' and '.join(map(str, at))} s after "
            "the start",
        )
        self.wait("the changed byte is found", last_s + MARGIN_S - time.time(),
                  lambda: "the image does not hold" in self.n0.log("switchd"))  # fmt: skip
        self.expect("n0 does not flash what has changed in its RAM", not self.n0.calls(),
                    "not now: the image does not hold")  # fmt: skip
        self.wait("n2 has failed", last_s + MARGIN_S - time.time(),
                  lambda: self.rid in self.refuser.switch().get("failed", []))  # fmt: skip
        said = self.refuser.ask("releases")
        why = "failed here: sysupgrade refuses it: Invalid image type."
        self.expect("n2, whose sysupgrade refuses it, says so and runs on with "
                    f"{BEFORE}", why in said and self.refuser.active() == BEFORE,
                    why)  # fmt: skip

    def show_versions(self):
        return "they run " + " ".join(f"{n.name} {n.active() or '-'}" for n in self.nodes)

    def catch_up(self, path):
        self.say("n2: power cut, and power again")
        self.refuser.stop(signal.SIGKILL)
        self.refuser.start()
        self.wait("but for n0 and the laptop nobody holds it any more", 20,
                  lambda: not self.holders(self.nodes[1:]))  # fmt: skip
        self.expect("who is done with it holds it no more: RAM is free again", True)
        self.late.offset_s = 86400 - time.time()
        self.late.start()
        self.say(f"n4 has power again; its clock says {time.ctime(86400)}")
        began = time.monotonic()
        between = self.nodes[1:4]
        helped = set()

        def done(node):
            helped.update(self.holders(between))
            return self.new(node)

        limit_s = RELAY_S + router.WAIT_S + WINDOW_S + MARGIN_S
        self.wait(f"runs {VERSION}", limit_s, done, [self.n0, self.late], self.show_versions)
        self.expect("n4, which was off, catches up, and n0 has flashed what it fetched anew", True,
                    f"{time.monotonic() - began:.1f} s after it had power")  # fmt: skip
        self.expect("who is between the laptop and n4 has fetched it again, for n4",
                    len(helped) == len(between), " ".join(sorted(helped)))  # fmt: skip
        self.wait("let it go", 20, lambda: not self.holders(self.nodes))

    def holders(self, nodes):
        """Names of those that have some of it in RAM."""
        return [n.name for n in nodes if n.payload(self.pid).exists()]

    def judge(self):
        stage = self.stage
        end = time.monotonic() + 2 * router.WAIT_S
        self.say(f"the laptop goes on seeding for {2 * router.WAIT_S} s: does anybody flash again?")
        self.wait("two more looks", 2 * router.WAIT_S + 1, lambda: time.monotonic() > end)
        known = [n for n in self.flashers if n.release(BEFORE)]
        dead = [n.name for n in self.flashers if n.payload(self.before).exists()]
        self.expect(
            f"whoever has flashed knows {BEFORE} still, and fetches nothing of it",
            known == self.flashers and not dead,
            " ".join(dead),
        )
        digest = hashlib.sha256(stage.image).hexdigest()
        strange = [n.name for n in self.nodes if set(n.flashed()) - {digest}]
        self.expect("nobody has flashed anything but the signed bytes", not strange,
                    " ".join(strange))  # fmt: skip
        wrong = [n.name for n in self.flashers if (n.mtd / "firmware").read_bytes() != stage.image]
        others = [n.name for n in self.flashers if len(n.flashed()) != 1 or len(n.calls()) != 1]
        self.expect(f"each of the {len(self.flashers)} nodes of {GS} has it in flash, "
                    "flashed once", not wrong + others, " ".join(wrong + others))  # fmt: skip
        boots = {n.name: n.boots for n in self.nodes}
        self.expect("no node has booted more often than that", list(boots.values()) == [
            2, 2, 2, 2, 3, 1], " ".join(f"{k} {v}" for k, v in boots.items()))  # fmt: skip
        metrics = [n.ask("metrics") for n in self.flashers]
        says = f'version="{VERSION}"', "swdist_releases_failed 0"
        self.expect("their metrics say so, and of no failure",
                    all(word in text for text in metrics for word in says))  # fmt: skip
        calls = [" ".join(words) for _, words in self.refuser.calls()]
        self.expect("n2 has asked its sysupgrade once, and not again after a power cut",
                    len(calls) == 1 and calls[0].startswith("-T ") and not self.refuser.flashed()
                    and self.refuser.active() == BEFORE, " ".join(calls))  # fmt: skip
        told = self.other.release(VERSION)
        self.expect(f"n5, a {OTHER}, says that it is not for it, and runs on",
                    told and not told["fits"] and not self.other.calls()
                    and self.other.active() == BEFORE and not self.other.failures())  # fmt: skip

    def again(self):
        """A later image, of which most is as it was. It comes; that it is flashed has been seen."""
        stage = self.stage
        file, path = stage.folder / "next.bin", stage.folder / f"{NEXT}.swd"
        file.write_bytes(stage.next)
        stage.build(path, NEXT, "--image", f"{file}@{GS}@{SIGNED_TOO}", "--start", "+24h")
        self.say(f"{NEXT} is an image of {len(stage.next):,} bytes; only its version is another")
        before = {n.name: n.net()["rx_bytes"] for n in self.nodes}
        stage.seed(path)
        self.wait(f"has all of {NEXT}", 60, lambda n: n.release(NEXT).get("complete"),
                  self.flashers)  # fmt: skip
        got = {n.name: n.net()["rx_bytes"] - before[n.name] for n in self.flashers}
        self.expect("who runs the image before it takes most of it from its own flash",
                    all(4 * size < len(stage.next) for size in got.values()),
                    ", ".join(f"{name} {size:,}" for name, size in got.items())
                    + " bytes by air")  # fmt: skip
        logs = [n.log(d) for n in self.nodes for d in ("netd", "switchd")]
        self.expect("no daemon has ended by an exception", not any("Traceback" in t for t in logs))
