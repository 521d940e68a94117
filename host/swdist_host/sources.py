"""What an operator gives on the command line becomes payloads.

Each --payload, --package and --image may say for which boards it is, behind the file's name:
FILE@BOARD@BOARD. A board's name has no @ in it, but may have commas. Without one it is for any.
"""

from pathlib import Path
from typing import NamedTuple

import click

from swdist_host import kinds, payload
from swdist_host.errors import BadValue, Refused
from swdist_host.release import Source


class Given(NamedTuple):
    """A file or directory, and the boards that it is for; none for any."""

    path: Path
    boards: tuple


def given(text):
    """The Given of `PATH` or `PATH@BOARD@BOARD`. A path may have an @ in it if it is there."""
    parts = text.split("@")
    ends = [n for n in range(1, len(parts) + 1) if Path("@".join(parts[:n])).exists()]
    n = ends[-1] if ends else 1
    boards = tuple(parts[n:])
    if not all(boards) or len(set(boards)) < len(boards):
        raise BadValue(f"'{text}' names a board twice, or one without a name; give FILE@BOARD")
    return Given(Path("@".join(parts[:n])), boards)


class GivenType(click.ParamType):
    name = "FILE"

    def convert(self, value, param, ctx):
        return value if isinstance(value, Given) else given(value)


def collect(trees, packages, images, swdist, kind, boards, experimental):
    """[Source] in the order in which nodes look for theirs. trees, packages, images: Given; swdist:
    .ipk files whose modules go into each slot; kind: of trees; boards: of the only payload."""
    if not images and not trees and not packages and not swdist:
        raise BadValue("there is no --payload; give a directory or file, or say --withdraw")
    if swdist and kind != "slot":
        raise BadValue("--swdist goes into a slot; leave out --kind, or --swdist")
    found = [_image(*one, boards, experimental) for one in images]
    if swdist and not trees:
        found.append(_slot(None, (), swdist))
    for path, its_boards in trees:
        if kind == "image":
            found.append(_image(path, its_boards, boards, experimental))
        elif kind == "slot":
            found.append(_slot(path, its_boards, swdist))
        else:
            found.append(_other(path, its_boards, kind))
    found += _packages(packages)
    # Nobody looks behind what is for any board.
    found.sort(key=lambda source: not source.boards)
    if boards:
        found = _for_boards(found, tuple(boards))
    _check_reached(found)
    return found


def _for_boards(found, boards):
    if len(found) > 1 or found[0].boards not in ((), boards):
        raise BadValue(
            "--board goes with one payload that names no board itself; of several say for which "
            "each is, like --payload tree@BOARD"
        )
    return [found[0]._replace(boards=boards)]


def _check_reached(found):
    """Refuses a payload that each node of its boards would pass by: all install a slot, and what is
    of the same kind."""
    taken = set()
    for kind, boards, _ in found:
        names = boards or ("any",)
        if all({("slot", name), (kind, name)} & taken for name in names):
            raise BadValue(
                f"two payloads are for {' '.join(boards) or 'any board'}, and nodes take the first;"
                " put them into one, or say for which board each is, like --payload tree@BOARD"
            )
        taken.update((kind, name) for name in names)


def _image(path, its_boards, boards, experimental):
    data = payload.read(path)
    _explained(path, kinds.check_image, data, its_boards or tuple(boards), experimental)
    return Source("image", its_boards, data)


def _slot(path, boards, swdist):
    if swdist:
        if path is not None and not path.is_dir():
            raise BadValue("--swdist goes into a slot; give a directory for --payload, or none")
        return Source("slot", boards, payload.with_swdist(path, swdist))
    if path.is_dir():
        return Source("slot", boards, payload.from_dir(path))
    return Source("slot", boards, _archive(path))


def _archive(path):
    data = payload.read(path)
    payload.check(data, path)
    return data


def _other(path, boards, kind):
    """An archive of packages, or of a kind of which nothing is known here."""
    if kind not in kinds.PACKAGES:
        if path.is_dir():
            raise BadValue(f"a directory makes a slot, not '{kind}'; give a file for --payload")
        return Source(kind, boards, payload.read(path))
    data = payload.from_dir(path) if path.is_dir() else _archive(path)
    _explained(path, kinds.packages, kind, data)
    return Source(kind, boards, data)


def _packages(packages):
    """A payload for each board that a package names, with what is for any board in it as well; and
    one for any board, with that alone."""
    found = []
    for kind in kinds.PACKAGES:
        mine = [one for one in packages if one.path.suffix == f".{kind}"]
        for_any = [path for path, boards in mine if not boards]
        by_files = {}
        for board in dict.fromkeys(board for one in mine for board in one.boards):
            files = tuple(p for p, boards in mine if board in boards or not boards)
            by_files.setdefault(files, []).append(board)
        for files, boards in by_files.items():
            found.append(Source(kind, tuple(boards), kinds.from_packages(kind, files)))
        if for_any:
            found.append(Source(kind, (), kinds.from_packages(kind, for_any)))
    for path, _ in packages:
        if path.suffix.removeprefix(".") not in kinds.PACKAGES:
            raise BadValue(f"{path}: is neither .ipk nor .apk; give other files by --payload")
    return found


def _explained(path, check, *arguments):
    """The same, and what is refused says of which file."""
    try:
        return check(*arguments)
    except BadValue:
        raise
    except Refused as e:
        raise Refused(f"{path}: {e}") from None
