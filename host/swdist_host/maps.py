"""Maps of meshes as people have them: who is whose neighbour, and how well they hear each other.

What is not understood is named (`Map.odd`), and a link that its routing protocol calls infinite is
no link. A file comes from strangers: what it may make this host do is bounded.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field

from swdist_host import files
from swdist_host.errors import BadValue

MAX_BYTES = 1 << 25
MAX_NODES = 10_000
MAX_LINKS = 200_000
MAX_NAME = 64  # characters
MOST_LOSS = 0.9  # a link that is worse is not in anybody's map for long
# Costs that count transmissions (ETX), whatever their protocol calls them; others say nothing of
# losses. As netdiff and the daemons themselves spell them.
_ETX = re.compile(r"etx|tq|etx_fpm|etx_ff|etx_ffeth|etx_float", re.IGNORECASE)
# What stands for "no link": OLSR's LINK_COST_BROKEN, OLSRv2's MAXIMUM_METRIC, Babel's INFINITY.
_BROKEN = {"olsr": 1 << 22, "olsrv2": 16_776_960, "babel": 65_535}
FORMS = (
    "NetJSON (a NetworkGraph, or a collection of them), batadv-vis (jsondoc, json, dot), OLSR"
    " (jsoninfo, txtinfo, dot), or a map server's graph.json or meshviewer.json"
)


@dataclass
class Map:
    """names: {id: what people call it}; links: {(id, id), the lesser first: loss 0..1, or None
    where nobody says}; odd: sentences, what was not understood or left out; drawn: at random,
    and of no real mesh."""

    names: dict = field(default_factory=dict)
    links: dict = field(default_factory=dict)
    odd: list = field(default_factory=list)
    drawn: bool = False

    def parts(self):
        """The connected parts, each a list of ids, the largest first. Nodes alone count."""
        near = {node: [] for node in self.names}
        for a, b in self.links:
            near[a].append(b)
            near[b].append(a)
        found = []
        seen = set()
        for node in near:
            if node in seen:
                continue
            seen.add(node)
            part = [node]
            for one in part:  # which grows meanwhile
                new = [other for other in near[one] if other not in seen]
                seen.update(new)
                part += new
            found.append(sorted(part))
        return sorted(found, key=lambda part: (-len(part), part))


def read(path):
    """The Map of a file; BadValue where it is none."""
    try:
        text = files.read(path, MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise BadValue(f"{path}: is not text; give a map: {FORMS}") from None
    made = _Maker()
    try:
        made.read(text)
    except _Many as e:
        raise BadValue(f"{path}: more than {e}; give a part of it") from None
    except RecursionError:
        raise BadValue(f"{path}: its brackets are nested too deeply for a map") from None
    found = made.map()
    if not found.links:
        why = f" ({'; '.join(found.odd)})" if found.odd else ""
        raise BadValue(f"{path}: no links found{why}; give a map: {FORMS}")
    return found


class _Many(Exception):
    """More of something than is allowed."""


class _Maker:
    def __init__(self):
        self._names = {}
        self._links = {}  # {(id, id): [loss or None, as each direction has it]}
        self._alias = {}  # {another address of a node: its own}
        self._odd = Counter()

    def map(self):
        found = Map()
        own = self._alias.get
        for node, name in self._names.items():
            node = own(node, node)
            if found.names.get(node, node) == node:
                found.names[node] = name if name else node
        for (a, b), losses in self._links.items():
            a, b = sorted((own(a, a), own(b, b)))
            if a == b:
                continue
            known = [loss for loss in (*losses, found.links.get((a, b))) if loss is not None]
            found.links[a, b] = max(known, default=None)
        found.odd = [what if n == 1 else f"{what} ({n} times)" for what, n in self._odd.items()]
        return found

    # --- what the formats share

    def node(self, name, label=None):
        """Counts a node; its id, or None for what can't be one."""
        if isinstance(name, bool) or not isinstance(name, (str, int)) or not str(name):
            self._odd["a node without a name is left out"] += 1
            return None
        name = str(name)
        if len(name) > MAX_NAME:
            self._odd[f"a node's name of more than {MAX_NAME} characters is left out"] += 1
            return None
        if name not in self._names and len(self._names) >= MAX_NODES:
            raise _Many(f"{MAX_NODES:,} nodes")
        if isinstance(label, str) and 0 < len(label) <= MAX_NAME:
            self._names[name] = label
        else:
            self._names.setdefault(name, None)
        return name

    def link(self, a, b, loss=None):
        """Counts a link between two names; loss math.inf: there is none."""
        a, b = self.node(a), self.node(b)
        if a is None or b is None:
            return
        if loss == math.inf:
            self._odd["a link of infinite cost is no link, and left out"] += 1
            return
        if (a, b) not in self._links and len(self._links) >= MAX_LINKS:
            raise _Many(f"{MAX_LINKS:,} links")
        self._links.setdefault((a, b), []).append(loss)

    def etx(self, cost, broken=math.inf):
        """The loss that a number of expected transmissions means; it may be a text."""
        if isinstance(cost, str):
            if re.fullmatch(r"(?i)inf(inite|inity)?", cost):
                return math.inf
            cost = float(cost) if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", cost) else None
        if isinstance(cost, bool) or not isinstance(cost, (int, float)) or not cost > 0:
            self._odd["a link's cost means nothing here; it is taken as one without loss"] += 1
            return None
        if cost >= broken:
            return math.inf
        # Over both directions. A little below 1 is a rounding error of whoever made it.
        return round(min(1 - 1 / math.sqrt(min(max(cost, 1), 1e9)), MOST_LOSS), 4)

    # --- which format is it?

    def read(self, text):
        try:
            data = json.loads(text)
        except ValueError:
            if not self._lines(text):
                self._odd["it is no JSON, and no line of it tells of a link"] += 1
            return
        if isinstance(data, dict):
            self._object(data)
        elif isinstance(data, list) and data and all(isinstance(one, dict) for one in data):
            for one in data:
                self._object(one)
        else:
            self._odd["it is JSON, but no object"] += 1

    def _object(self, data):
        kind = data.get("type")
        if kind == "NetworkCollection" and isinstance(data.get("collection"), list):
            for one in data["collection"]:
                self._object(one if isinstance(one, dict) else {})
        elif kind == "NetworkGraph":
            self._netjson(data)
        elif isinstance(data.get("vis"), list):
            self._jsondoc(data)
        elif isinstance(data.get("batadv"), dict):
            self._nodesgraph(data["batadv"])
        elif isinstance(data.get("topology"), list):
            self._jsoninfo(data["topology"])
        elif "router" in data and "neighbor" in data:
            self.link(data["router"], data["neighbor"], self.etx(data.get("label")))
        elif isinstance(data.get("links"), list) and kind is None:
            if any("source_tq" in row for row in _rows(data["links"])):
                self._meshviewer(data)
            else:
                self._netjson(data)
        elif isinstance(data.get("rows"), list):  # what `swdist status --mesh --json` prints
            self._odd["nodes tell no links: give it to --mesh"] += 1
        elif not {"primary", "secondary", "gateway"} & data.keys():  # lines of batadv-vis
            what = f"of type {_word(kind)}" if kind else f"with {_some_keys(data)}"
            self._odd[f"an object {what} is not understood, and left out"] += 1

    # --- the formats

    def _netjson(self, data):
        """netjson.org, as netdiff, the OLSR daemons and OpenWISP write it."""
        for row in _rows(data.get("nodes")):
            more = row.get("properties")
            name = more.get("name") if isinstance(more, dict) else None
            self.node(row.get("id"), row.get("label") or name)
        metric = str(data.get("metric") or "ETX")
        broken = _BROKEN.get(str(data.get("protocol") or "").lower(), math.inf)
        known = _ETX.fullmatch(metric)
        if not known:
            self._odd[f"metric {_word(metric)} says nothing of losses: links have none"] += 1
        for row in _rows(data.get("links")):
            cost = row.get("cost")
            if cost is None:
                loss = None
            elif known:
                loss = self.etx(cost, broken)
            else:
                loss = math.inf if _infinite(cost, broken) else None
            self.link(row.get("source"), row.get("target"), loss)

    def _jsondoc(self, data):
        """batadv-vis -f jsondoc."""
        algorithm = data.get("algorithm", 4)
        if algorithm != 4:
            self._odd[f"algorithm {_word(algorithm)} says nothing of losses: links have none"] += 1
        for row in _rows(data["vis"]):
            primary = self.node(row.get("primary"))
            others = row.get("secondary")
            for other in others if isinstance(others, list) and primary is not None else ():
                if self.node(other) is not None and other != primary:
                    self._alias[str(other)] = primary
            for near in _rows(row.get("neighbors")):
                loss = self.etx(near.get("metric")) if algorithm == 4 else None
                self.link(near.get("router"), near.get("neighbor"), loss)

    def _nodesgraph(self, graph):
        """graph.json of ffmap and hopglass: links are between places in a list."""
        rows = _rows(graph.get("nodes"))
        ids = [self.node(row.get("node_id") or row.get("id")) for row in rows]
        for row in _rows(graph.get("links")):
            ends = [row.get("source"), row.get("target")]
            if not all(type(end) is int and 0 <= end < len(ids) for end in ends):
                self._odd["a link names no node of the list, and is left out"] += 1
            elif None not in (ids[ends[0]], ids[ends[1]]):
                self.link(ids[ends[0]], ids[ends[1]], self.etx(row.get("tq")))

    def _meshviewer(self, data):
        """meshviewer.json: how much arrives, in either direction."""
        for row in _rows(data.get("nodes")):
            self.node(row.get("node_id"), row.get("hostname"))
        for row in _rows(data["links"]):
            arrives = [row.get("source_tq"), row.get("target_tq")]
            loss = None
            if not all(type(tq) in (int, float) and 0 <= tq <= 1 for tq in arrives):
                self._odd["a link's tq is not 0 to 1; it is taken as one without loss"] += 1
            elif 0 in arrives:
                loss = math.inf
            else:
                loss = self.etx(1 / (arrives[0] * arrives[1]))
            self.link(row.get("source"), row.get("target"), loss)

    def _jsoninfo(self, rows):
        """OLSR's jsoninfo; 1,024 is a cost of 1."""
        for row in _rows(rows):
            cost = row.get("tcEdgeCost")
            if type(cost) in (int, float):
                cost = math.inf if cost >= _BROKEN["olsr"] else cost / 1024
            self.link(row.get("lastHopIP"), row.get("destinationIP"), self.etx(cost))

    def _lines(self, text):
        """How many lines told of something: batadv-vis's json, OLSR's txtinfo, and dot."""
        count = 0
        table = False
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["Table:"]:
                table = words[1:2] == ["Topology"]
            elif line.lstrip().startswith("{"):
                count += self._json_line(line)
            elif found := _DOT.match(line):
                count += 1
                if found[3] not in ("TT", "HNA"):  # what is behind a node
                    self.link(found[1], found[2], self.etx(found[3] or "1"))
            elif table and len(words) >= 5 and _ADDRESS.fullmatch(words[0]):
                count += 1
                # A link that is heard in one direction alone is none, whatever it costs.
                dead = "0.000" in words[2:4]
                self.link(words[0], words[1], math.inf if dead else self.etx(words[4]))
        return count

    def _json_line(self, line):
        try:
            row = json.loads(line)
        except ValueError:
            return 0
        self._object(row)
        return 1


_DOT = re.compile(r'\s*"([^"]{1,99})"\s*->\s*"([^"]{1,99})"\s*(?:\[\s*label="([^"]{0,32})")?')
_ADDRESS = re.compile(r"[0-9a-fA-F.:]+")


def _rows(value):
    """The objects of a list, or of what should be one."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _infinite(cost, broken):
    if isinstance(cost, str):
        return bool(re.fullmatch(r"(?i)inf(inite|inity)?", cost))
    return isinstance(cost, (int, float)) and cost >= broken


def _word(value):
    return repr(str(value)[:40])


def _some_keys(data):
    return ", ".join(_word(key) for key in list(data)[:4]) or "nothing in it"
