"""The golden vectors of choosing, replayed by the switch side's machines."""

from binascii import unhexlify

from logs import Log
from wired import FS, vectors

from swdist.formats import manifest
from swdist.formats.bits import to_hex
from swdist.machines import switcher
from swdist.storage import install
from swdist.trust import choose, verify
from swdist.trust.dates import Dates

S = 1000000  # microseconds in a second
NOW = 5000 * S  # of the counter
V = vectors("choosing")


def version(text):
    return tuple([int(n) for n in text.split(".")])


class Slots:
    """What a case says of a node's flash: prepared is what is ready; image is the payload of an
    image that is ready."""

    def __init__(self, case, releases):
        self.dates = Dates(FS, "/nowhere/doubted")
        node = case["node"]
        lot = node["lot"] and unhexlify(node["lot"])
        self.here = choose.Here(node["board"], node["kinds"], node["groups"], lot)
        self.rids = {choose.FACTORY: "factory"}
        self.ready = [(releases[n].rid, line) for n, line in case["ready"]]
        self.bad = [releases[n].rid for n in case["failed"]]
        self.pointer = choose.FACTORY
        self.releases = releases.values()
        if case["active"] != "factory":
            self.pointer = releases[case["active"]].rid
        for name, r in releases.items():
            self.rids[r.rid] = name

    def line(self, r):
        """(its number, the payload that fits), or (0, None)."""
        p = self.here.takes(r.manifest)
        return (r.manifest.payloads.index(p) + 1, p) if p is not None else (0, None)

    def prepared(self, rid):
        for r in self.releases:
            n, p = self.line(r)
            if r.rid == rid and (rid, n) in self.ready:
                return p.kind != "image"
        return rid == choose.FACTORY

    def offered(self, p):
        return p.kind != "image" and [r for r, _ in self.ready if p in self._payloads(r)] != []

    def _payloads(self, rid):
        return [p for r in self.releases if r.rid == rid for p in r.manifest.payloads]

    def open(self, path, mode):
        """There is no partition, so nothing is kept of an image."""
        raise OSError(2)

    def size(self, path):
        """Of an image in RAM."""
        for r in self.releases:
            n, p = self.line(r)
            if p is not None and path == "/run/images/%s/payload" % to_hex(p.pid):
                return p.stored if (r.rid, n) in self.ready else None
        return None

    def active(self):
        return self.pointer

    confirmed = active

    def company(self):
        return False

    def has_code(self, rid):
        return False

    def activate(self, rid, company):
        self.pointer = rid

    def failed(self):
        return self.bad

    def forgive(self, why):
        pass

    def collect(self, keep):
        pass

    def confirm(self, rid):
        pass

    def prepare(self, release, p):
        raise OSError(5)  # nothing more is ready than the case says


class Node:
    """One that comes to a step of a case."""

    run = "/run"
    state = "/state"

    def __init__(self, case, step, draw):
        releases = {}
        for name, text in case["held"].items():
            m, why = manifest.parse(unhexlify(text))
            assert why is None, (case["name"], why)
            releases[name] = verify.Release(m)
        self.slots = slots = Slots(case, releases)
        self.flashed = []
        factory = choose.factory(version(case["node"]["factory"]))
        self.s = switcher.Switcher(
            slots, slots.here, factory, step.get("kept_s", 0), 60 * S, self.hook,
            lambda record: None, Log(), case["hold"],
        )  # fmt: skip
        self.flash = install.Flash(slots, self, draw, self.s, self.hook, Log())
        self.now = NOW
        self.offset = step["now_s"] * S - NOW
        self.synced = step["synchronised"]
        self.s.set_releases(sorted(releases.values(), key=lambda r: r.sort_key()), NOW)
        self.s.start(NOW)
        self.tick(NOW)

    def hook(self, release, name):
        if name == "flash":
            self.flashed.append(release.rid)
            return "not now"
        return 0

    def tick(self, now):
        self.s.set_time(now, self.offset, 1000, self.synced, 1, now)
        self.s.tick(now)
        self.flash.tick(now)

    def runs(self):
        """The name, and the number of its line."""
        rid = self.slots.pointer
        return self.slots.rids[rid], self.slots.line(self.s.active)[0]


def instants(step):
    """What chance may say, and the instant that comes of it."""
    yield (lambda n: 0), step.get("first_us")
    yield (lambda n: n - 1), step.get("last_us")


def test_what_runs_is_what_the_vectors_say():
    for case in V["cases"]:
        for step in case["at"]:
            node = Node(case, step, lambda n: 0)
            name, line = node.runs()
            assert name == step["runs"], (case["name"], step, name)
            assert line == step.get("line", line), (case["name"], line)


def test_images_are_flashed_when_the_vectors_say():
    for case in V["cases"]:
        for step in case["at"]:
            for draw, at_us in instants(step):
                node = Node(case, step, draw)
                due = (at_us or (step["now_s"] + 700) * S) - node.offset
                node.tick(due - 1)
                assert node.flashed == [], case["name"]
                node.tick(due)
                flashed = [node.slots.rids[rid] for rid in node.flashed]
                assert flashed == ([step["flashes"]] if at_us else []), (case["name"], flashed)


def test_lots_are_drawn_as_the_vectors_say():
    for case in V["lots"]["cases"]:
        drawn = choose.draw(unhexlify(case["number"]), version(case["version"]))
        assert drawn == case["permille"], case
