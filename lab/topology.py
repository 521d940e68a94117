"""Who hears whom: a grid, so that a release needs many hops and has more than one way."""


def grid(count):
    """Pairs of neighbouring nodes; two rows, four for a large mesh."""
    rows = 2 if count < 24 else 4
    links = []
    for i in range(count):
        if i % rows != rows - 1 and i + 1 < count:
            links.append((i, i + 1))
        if i + rows < count:
            links.append((i, i + rows))
    return links


def hops(links, start):
    """{node: hops from start}."""
    found = {start: 0}
    queue = [start]
    for node in queue:
        for a, b in links:
            for x, y in ((a, b), (b, a)):
                if x == node and y not in found:
                    found[y] = found[x] + 1
                    queue.append(y)
    return found
