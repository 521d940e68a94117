"""STATE/switches: a line of JSON for each switch, for people."""

import json

MAX_BYTES = 65536


def append(fs, path, record):
    """Adds a dict as the last line. What grows beyond MAX_BYTES keeps its latter half. OSError."""
    size = fs.size(path) or 0
    line = json.dumps(record)
    if size:
        half = size - MAX_BYTES // 2 if size > MAX_BYTES else 0
        with fs.open(path, "rb") as f:
            f.seek(half or size - 1)
            rest = f.read(MAX_BYTES // 2)
        if half:
            fs.write_atomic(path, rest[rest.find(b"\n") + 1 :])
        if rest[-1] != 10:
            line = "\n" + line  # the power was cut while the last one was written
    fs.append_line(path, line)
