"""Messages between the two processes: fixed datagrams over UNIX sockets.

time    netd -> switchd  the mesh time as the neighbours agree on it
store   netd -> switchd  the store changed, look again
active  switchd -> netd  what runs here, and what failed here
own     netd -> switchd  pieces of the image that runs are asked for
        switchd -> netd  so many of them are in RUN/own now

A message that is not exactly of its form is dropped by whoever receives it.
"""

from struct import pack, unpack_from

TIME = 1
STORE = 2
ACTIVE = 3
OWN = 4

MAX_FAILED = 16  # failed releases told to the network side

_TIME = "!4sQqIBBH"  # magic, counter_us, offset_us, error_us, synced, neighbours, confirming
# magic, release id, version, revision, experimental, on hold, lot, failed count
_ACTIVE = "!4s32sHHHHBB16sB"
_OWN = "!4sHH"  # magic, first piece, how many
_TIME_BYTES = 28
_ACTIVE_BYTES = 63
_OWN_BYTES = 8


def pack_time(counter_us, offset_us, error_us, synced, neighbours):
    """Mesh time is counter_us + offset_us, exact to error_us; neighbours: how many are fresh."""
    return pack(_TIME, b"swT1", counter_us, offset_us, error_us, synced, min(neighbours, 255), 0)


def pack_store():
    return b"swS1"


def pack_active(rid, version, revision, experimental, failed, on_hold, lot):
    """rid: 32 bytes; version: 3 numbers; failed: release ids, at most MAX_FAILED are told; on_hold:
    the owner wants no switch; lot: the 16 bytes of choose.Here."""
    failed = failed[:MAX_FAILED]
    a, b, c = version
    flags = experimental, on_hold
    head = pack(_ACTIVE, b"swA2", rid, a, b, c, revision, *(flags + (lot, len(failed))))
    return head + b"".join(failed)


def pack_own(first, count):
    """Pieces first..first + count - 1 of the image that runs, by its payload's index."""
    return pack(_OWN, b"swO1", first, count)


def parse(data):
    """(TIME, counter_us, offset_us, error_us, synced, neighbours), (STORE,), (OWN, first, count),
    (ACTIVE, rid, version, revision, experimental, failed, on_hold, lot), or None."""
    magic = bytes(data[:4])
    if magic == b"swT1" and len(data) == _TIME_BYTES:
        _, counter, offset, error, synced, neighbours, _ = unpack_from(_TIME, data)
        return (TIME, counter, offset, error, bool(synced), neighbours)
    if magic == b"swS1" and len(data) == 4:
        return (STORE,)
    if magic == b"swO1" and len(data) == _OWN_BYTES:
        return (OWN,) + unpack_from(_OWN, data)[1:]
    if magic == b"swA2" and len(data) >= _ACTIVE_BYTES:
        _, rid, a, b, c, revision, experimental, held, lot, count = unpack_from(_ACTIVE, data)
        if count > MAX_FAILED or len(data) != _ACTIVE_BYTES + 32 * count:
            return None
        failed = [
            bytes(data[_ACTIVE_BYTES + 32 * i : _ACTIVE_BYTES + 32 * i + 32]) for i in range(count)
        ]
        return (ACTIVE, rid, (a, b, c), revision, bool(experimental), failed, bool(held), lot)
    return None
