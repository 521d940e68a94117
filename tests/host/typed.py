"""The host tool as an operator types it, in this process: starting one takes longer than most of
what is tested."""

import contextlib
import io
import os
import sys
from types import SimpleNamespace

from swdist_host import cli


class Text(io.TextIOWrapper):
    def __init__(self, data=b""):
        super().__init__(io.BytesIO(data), encoding="utf-8", write_through=True)

    def text(self):
        return self.buffer.getvalue().decode()


def swdist(*words, cwd, stdin=""):
    """returncode, stdout and stderr, as subprocess has them."""
    out, err, before, typed = Text(), Text(), os.getcwd(), sys.stdin
    os.chdir(cwd)
    sys.stdin = Text(stdin.encode())
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.run([str(word) for word in words])
    finally:
        sys.stdin = typed
        os.chdir(before)
    return SimpleNamespace(returncode=status, stdout=out.text(), stderr=err.text())


def good(*words, cwd):
    """What it prints. words may be one text."""
    words = words[0].split() if len(words) == 1 else words
    done = swdist(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*words, cwd, status=(1, 2)):
    """The line that says why."""
    words = words[0].split() if len(words) == 1 else words
    done = swdist(*words, cwd=cwd)
    assert done.returncode in (status if isinstance(status, tuple) else (status,)), done
    assert done.stderr.startswith("swdist: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr
