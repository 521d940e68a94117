"""A scenario file (TOML): the mesh, its radio, what happens when, and what must come of it.

docs/simulator.md lists all keys. Whatever is wrong is one line, BadValue.
"""

import random
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from swdist.formats.bits import version as parse_version
from swdist_host.errors import BadValue
from swdist_host.sim import besiegers, radio, station, topology

HERE = Path(__file__).parent / "scenarios"
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "K": 1024, "M": 1048576}
_WHAT = {  # action: its keys
    "boot": {"nodes", "spread"},
    "inject": {"release", "node"},
    "down": {"nodes", "cut"},
    "up": {"nodes", "spread"},
    "power-cut": {"nodes", "steps"},
    "partition": {"parts"},
    "heal": set(),
    "join": {"count", "links"},
    "hook-fails": {"nodes"},
    "hold": {"nodes"},
    "renew": {"nodes"},
    "rot": {"nodes"},
}
_RELEASE = {
    "name",
    "version",
    "revision",
    "size",
    "like",
    "groups",
    "share",
    "start",
    "end",
    "withdraw",
    "same_as",
}
_KEYS = {"name", "keys", "keep"}  # of a change of the CA's keys  # fmt: skip
_EXPECT = {"covered", "active", "within", "clock_error", "clock_from", "siege"}
_TOP = {"name", "about", "seed", "duration", "check_every", "live"}


@dataclass
class Scenario:
    """Times in seconds since the start of the run."""

    name: str = "unnamed"
    about: str = ""
    seed: int = 1
    duration: float = 600
    check_every: float = 10
    live: bool = True
    topology: dict = field(default_factory=lambda: {"kind": "geometric", "nodes": 20})
    radio: dict = field(default_factory=dict)
    node: dict = field(default_factory=dict)
    releases: dict = field(default_factory=dict)
    actions: list = field(default_factory=list)
    attackers: list = field(default_factory=list)
    expect: dict = field(default_factory=dict)

    def graph(self):
        """The mesh's graph."""
        t = dict(self.topology)
        if "file" in t:
            return topology.load(Path(t["file"]))
        if Path(t["kind"]).suffix and Path(t["kind"]).exists():
            return topology.load(Path(t["kind"]))
        return topology.make(t.pop("kind"), t.pop("nodes"), self.seed, **t)

    def air(self):
        return radio.Settings(**self.radio)

    def settings(self):
        return station.Settings(**self.node)

    def placed(self, count):
        """{node: kind} of the attackers. They are drawn by the seed, unless the file says where."""
        rand = random.Random(f"attackers {self.seed}")
        taken = {}
        for a in self.attackers:
            free = [n for n in range(1, count) if n not in taken]
            chosen = a.get("nodes", 1)
            if isinstance(chosen, list):
                numbers = [n for n in chosen if n < count]
            else:
                numbers = rand.sample(free, min(len(free), share(chosen, count)))
            for n in numbers:
                taken[n] = a["kind"]
        return taken


def share(value, count):
    """So many of `count`: a number, or a percentage like "10%"."""
    if isinstance(value, str) and value.endswith("%"):
        return max(1, round(count * float(value[:-1]) / 100))
    return int(value)


def names():
    return sorted(p.stem for p in HERE.glob("*.toml"))


def load(name):
    """Of a file, or one of those that come along, by its name."""
    path = Path(name)
    if not path.exists() and (HERE / f"{name}.toml").exists():
        path = HERE / f"{name}.toml"
    try:
        data = path.read_bytes()
    except OSError as e:
        known = ", ".join(names())
        raise BadValue(f"scenario {name}: {e.strerror}; give a file, or one of: {known}") from None
    try:
        return parse(tomllib.loads(data.decode()), str(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise BadValue(f"{path}: is not TOML: {e}") from None


def parse(data, where="scenario"):
    """Of the parsed TOML."""
    read = _Reader(where)
    s = Scenario()
    sections = {"topology", "radio", "node", "release", "do", "attacker", "expect"}
    read.keys(data, _TOP | sections, "")
    s.name = read.text(data, "name", s.name)
    s.about = read.text(data, "about", "")
    s.seed = read.number(data, "seed", s.seed, "")
    s.duration = read.time(data, "duration", s.duration, "")
    s.check_every = read.time(data, "check_every", s.check_every, "")
    s.live = data.get("live", True) is True
    s.topology = read.table(data, "topology", {"kind": "geometric", "nodes": 20})
    read.keys(s.topology, {"kind", "nodes", "degree", "file", "size", "thin_loss"}, "[topology]")
    s.topology.setdefault("kind", "geometric")
    s.topology.setdefault("nodes", 20)
    if read.number(s.topology, "nodes", 1, "[topology]") < 1:
        raise read.bad("[topology]", "nodes", "give at least 1")
    s.radio = read.settings(data, "radio", radio.Settings)
    s.node = read.settings(data, "node", station.Settings)
    if "factory_version" in s.node:
        s.node["factory_version"] = read.version(s.node["factory_version"], "[node]")
    if s.node.get("fidelity", "packet") not in ("packet", "chunk"):
        raise read.bad("[node]", "fidelity", "give packet or chunk")
    if s.node.get("clock", "none") not in ("none", "saved", "right"):
        raise read.bad("[node]", "clock", "give none, saved or right")
    for row in read.tables(data, "release"):
        _release(read, s, row)
    for row in read.tables(data, "attacker"):
        read.keys(row, {"kind", "nodes"}, "[[attacker]]")
        if row.get("kind") not in besiegers.KINDS:
            raise read.bad("[[attacker]]", "kind", "give one of " + ", ".join(besiegers.KINDS))
        read.nodes(row, "[[attacker]]")
        s.attackers.append(row)
    for row in read.tables(data, "do"):
        _action(read, s, row)
    s.actions.sort(key=lambda a: a["at"])
    s.expect = read.table(data, "expect", {})
    read.keys(s.expect, _EXPECT, "[expect]")
    for key in ("within", "clock_error", "clock_from"):
        if key in s.expect:
            s.expect[key] = read.time(s.expect, key, 0, "[expect]")
    for name in s.expect.get("covered", []):
        if name not in s.releases:
            raise read.bad("[expect]", "covered", f"there is no release '{name}'")
    return s


def _release(read, s, row):
    where = "[[release]]"
    keys = row.get("keys", False) is True
    read.keys(row, _KEYS if keys else _RELEASE | {"keys"}, where)
    name = read.text(row, "name", None)
    if not name or name in s.releases:
        raise read.bad(where, "name", "give each release a name of its own")
    for kept in row.get("keep", []):
        if kept not in s.releases:
            raise read.bad(where, "keep", "give names of earlier releases")
    if not keys and parse_version(str(row.get("version", ""))) is None:
        raise read.bad(where, "version", "give three numbers like 1.1.0")
    if "same_as" in row and row["same_as"] not in s.releases:
        raise read.bad(where, "same_as", "give the name of an earlier release")
    if "like" in row and row["like"] not in s.releases:
        raise read.bad(where, "like", "give the name of an earlier release")
    for key in ("groups", "share"):
        if key in row and "end" not in row:
            raise read.bad(where, key, "only what ends has an audience")
    done = dict(row)
    done["keys"] = keys
    done["size"] = read.size(row, "size", 65536, where)
    for key in ("start", "end"):
        if key in row:
            done[key] = read.time(row, key, 0, where)
    if "end" in done and done["end"] <= done.get("start", 0):
        raise read.bad(where, "end", "give one that is later than start")
    s.releases[name] = done


def _action(read, s, row):
    where = "[[do]]"
    what = row.get("what")
    if what not in _WHAT:
        raise read.bad(where, "what", "give one of " + ", ".join(_WHAT))
    read.keys(row, _WHAT[what] | {"what", "at"}, f"{where} {what}")
    done = dict(row)
    done["at"] = read.time(row, "at", 0, where)
    if what == "inject" and row.get("release") not in s.releases:
        raise read.bad(where, "release", "give the name of one of the releases")
    if "nodes" in row:
        read.nodes(row, where)
    if "spread" in row:
        done["spread"] = read.time(row, "spread", 1, where)
    s.actions.append(done)


class _Reader:
    """Takes values out of tables, and says in one line what is wrong."""

    def __init__(self, where):
        self.where = where

    def bad(self, section, key, advice):
        return BadValue(f"{self.where}: {section} {key}: {advice}".replace(":  ", ": "))

    def keys(self, table, known, section):
        for key in table:
            if key not in known:
                raise self.bad(
                    section, f"'{key}'", "no such key; known: " + ", ".join(sorted(known))
                )

    def table(self, data, key, default):
        value = data.get(key, default)
        if not isinstance(value, dict):
            raise self.bad(f"[{key}]", "", "make it a table")
        return dict(value)

    def tables(self, data, key):
        rows = data.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.bad(f"[[{key}]]", "", "make it an array of tables")
        return rows

    def settings(self, data, key, kind):
        """A table whose keys are the fields of a dataclass, of the same types."""
        table = self.table(data, key, {})
        known = {f.name: type(f.default) for f in fields(kind)}
        self.keys(table, set(known), f"[{key}]")
        for name, value in table.items():
            wanted = known[name]
            fits = isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
            if wanted is float and isinstance(value, int):
                fits = True
            if wanted is tuple:
                fits = isinstance(value, str)
            if not fits:
                raise self.bad(f"[{key}]", name, f"'{value}' is not of the right type")
            if isinstance(value, (int, float)) and value < 0:
                raise self.bad(f"[{key}]", name, "give a number from 0")
        return table

    def version(self, text, section):
        parsed = parse_version(str(text))
        if parsed is None:
            raise self.bad(section, "version", "give three numbers like 1.0.0")
        return parsed

    def text(self, table, key, default):
        value = table.get(key, default)
        if value is not None and not isinstance(value, str):
            raise self.bad("", key, "give a text")
        return value

    def number(self, table, key, default, section):
        value = table.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.bad(section, key, "give a whole number")
        return value

    def time(self, table, key, default, section):
        value = table.get(key, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value
        found = re.fullmatch(r"(-?\d+(?:\.\d+)?)(ms|s|m|h|d)", str(value))
        if not found:
            raise self.bad(section, key, f"'{value}' is no time; give one like 90s, 10m, 2h or 30d")
        return float(found[1]) * _UNITS[found[2]]

    def size(self, table, key, default, section):
        found = re.fullmatch(r"(\d{1,9})([KM]?)", str(table.get(key, default)))
        if not found:
            raise self.bad(section, key, "give a number of bytes like 65536, 256K or 4M")
        return int(found[1]) * _SIZES[found[2]]

    def nodes(self, table, section):
        value = table.get("nodes", 1)
        good = isinstance(value, int) and not isinstance(value, bool) and value > 0
        good = good or (isinstance(value, list) and all(type(n) is int and n >= 0 for n in value))
        good = good or (
            isinstance(value, str) and re.fullmatch(r"\d{1,2}(\.\d+)?%|100%|all|off", value)
        )
        if not good:
            raise self.bad(
                section, "nodes", 'give a number, a list, a share like "10%", "all" or "off"'
            )
