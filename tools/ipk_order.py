"""Looks for an order of the files in swdist's package that packs tighter, for tools/ipk_order.txt.

    python tools/ipk_order.py SECONDS

gzip looks back 32 KB, so what is alike should be near. By chance, from the order that is there: a
file or two are moved elsewhere, and what packs worse is taken back. Without it the package is 1 %
larger; with an old one nothing breaks, and files that it does not name come behind.
"""

import random
import sys
import time
import zlib

import ipk


def packed(entries, order):
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    data = ipk.tar(entries, order, 0)
    return len(squeezer.compress(data) + squeezer.flush())


def main(seconds):
    entries = ipk.swdist(ipk.modules("mpy")).files
    order = ipk.in_order(entries)
    best = first = packed(entries, order)
    chance = random.Random(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tried = order[:]
        at = chance.randrange(len(tried) - 1)
        count = chance.choice((1, 1, 2))
        moved = tried[at : at + count]
        del tried[at : at + count]
        to = chance.randrange(len(tried) + 1)
        tried[to:to] = moved
        size = packed(entries, tried)
        if size <= best:
            order, best = tried, size
    ipk.ORDER.write_text("".join(f"{path}\n" for path in order))
    print(
        f"ipk_order: {first:,} bytes before, {best:,} now (zlib; zopfli makes them some 3 % less)"
    )


if __name__ == "__main__":
    main(float(sys.argv[1]))
