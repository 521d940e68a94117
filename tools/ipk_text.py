"""Python's text, and changes at places of it: the rest stays as it was written."""

import functools
import io
import tokenize


@functools.cache
def names_of(text):
    """[(name, offset, what stands before, and after)] of a module, each time it stands there."""
    starts = line_starts(text)
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in (tokenize.NL, tokenize.COMMENT)
    ]
    found = []
    for before, token, after in zip([tokens[0], *tokens], tokens, tokens[1:]):
        if token.type == tokenize.NAME:
            at = starts[token.start[0] - 1] + token.start[1]
            found.append((token.string, at, before.string, after.string))
    return found


def line_starts(text):
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def edited(text, edits):
    """The text (ASCII) with edits in place: (node, new text), or (node, None, text before it)."""
    starts = line_starts(text)
    spans = []
    for node, new, *before in edits:
        start = starts[node.lineno - 1] + node.col_offset
        end = start if before else starts[node.end_lineno - 1] + node.end_col_offset
        spans.append((start, end, *(before or [new])))
    for start, end, new in sorted(spans, reverse=True):
        text = text[:start] + new + text[end:]
    return text
