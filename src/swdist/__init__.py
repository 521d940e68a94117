"""swdist: a mesh of equal routers keeps itself on one software version."""

import gc

VERSION = "0.9.0"


def collect_each(n):
    """Collects garbage after each n bytes from here on, where the runtime can be told."""
    if hasattr(gc, "threshold"):
        gc.threshold(n)


# Early and often: what compiling and importing leave behind would else be scattered over the whole
# heap, and no 64 KiB in one piece would be left in a heap of 1 MiB.
COLLECT_BYTES = 65536
collect_each(COLLECT_BYTES)
