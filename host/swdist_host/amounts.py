"""How many of something, as people read it."""


def count(n, noun):
    """For people: 1 link, 2,000 links."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
