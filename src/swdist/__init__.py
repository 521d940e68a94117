"""swdist: a mesh of equal routers keeps itself on one software version."""

import gc

VERSION = "0.9.0"

# Collect early and often: what compiling and importing leave behind would else be scattered over
# the whole heap, and no 64 KiB in one piece would be left in a heap of 1 MiB.
if hasattr(gc, "threshold"):
    gc.threshold(65536)
