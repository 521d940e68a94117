"""How long spreading may take, and how much a node may remember."""

from swdist_host.sim import transfer
from swdist_host.sim.world import SECOND

SHORTEST_US = 300 * SECOND
FACTOR = 60  # times the lower bound; measured are 2 to 20, see bench/coverage.py
PER_HOP_US = 30 * SECOND  # for the news, with announcements lost
_MACHINES = {
    "swdist." + name
    for name in (
        "node", "neighbours", "announce", "clock", "fetch", "store", "manifest", "verify",
        "datagram", "switcher", "slots", "tftpget", "tftpserve", "tftp", "untar",
    )
}  # fmt: skip
MAX_ITEMS = 10000  # measured: 1,300 to 3,600, under attack


def airtime_us(sim, size):
    """Of `size` bytes over one free link without loss, in whole blocks."""
    s = sim.world.radio.settings
    block = s.frame_us + (1432 + 48) * 8000 // s.unicast_kbps
    return transfer.blocks(size) * block


def lower_us(sim, size, chunk_size, hops):
    """Hop distance times the time of one chunk, plus the payload's time over the bottleneck: from
    two hops on, each node in the middle receives and sends each chunk on one channel, and must be
    silent while the next one sends it on (docs/simulator.md)."""
    share = min(max(hops, 1), 3)
    return hops * airtime_us(sim, min(size, chunk_size)) + share * airtime_us(sim, size)


def spread_us(sim, size, chunk_size, hops, nodes):
    """The liveness bound."""
    s = sim.world.radio.settings
    loss = min(s.loss * (1 + s.loss_spread), 0.9)
    lower = lower_us(sim, size, chunk_size, hops)
    cpu_us = transfer.blocks(size) * (sim.settings.cpu_us + sim.settings.write_us_per_kib)
    bound = FACTOR * (lower + cpu_us) + (hops + 1) * PER_HOP_US
    attackers = sum(1 for other in sim.stations if not other.honest)
    bound += attackers * 600 * SECOND
    return SHORTEST_US + int(bound / (1 - loss) ** 2)


def items(*roots):
    """How many objects the machines' own state consists of: elements of lists, tables, buffers by
    their length in 64 bytes."""
    count = 0
    seen = set()
    todo = list(roots)
    while todo:
        x = todo.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, (list, tuple, set, frozenset)):
            count += len(x)
            todo.extend(x)
        elif isinstance(x, dict):
            count += 2 * len(x)
            todo.extend(x.values())
        elif isinstance(x, (bytes, bytearray, str)):
            count += len(x) // 64
        elif type(x).__module__ in _MACHINES:
            count += len(x.__dict__)
            todo.extend(x.__dict__.values())
    return count
