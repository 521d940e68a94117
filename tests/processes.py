"""Processes that a test has started, found wherever they have gone."""

from pathlib import Path


def tagged(tag):
    """Numbers of those that have `tag`, NAME=VALUE, in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if tag.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(folder.name)
        except OSError:
            pass  # it has ended
    return found
