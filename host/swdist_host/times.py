"""Times as an operator gives them: RFC 3339 in UTC, or relative to now."""

import re
from datetime import UTC, datetime, timedelta

from swdist.formats.bits import time_s
from swdist_host.errors import BadValue

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LATEST_S = 253402300799  # 9999-12-31T23:59:59Z


def time_text(seconds):
    """The RFC 3339 form of seconds since 1970 (0..LATEST_S)."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return at.isoformat()[:19] + "Z"


def span(seconds):
    """For people: 12 s, 3 min 05 s, 4 h 10 min, 2 d 3 h."""
    s = int(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02} s"
    if s < 86400:
        return f"{s // 3600} h {s // 60 % 60:02} min"
    return f"{s // 86400} d {s // 3600 % 24} h"


def parse(text, now_s):
    """Seconds since 1970 of `2030-01-31T12:00:00Z`, `+90s`, `+1d12h`, `-10m` or `now`."""
    if text == "now":
        return now_s
    if re.fullmatch(r"[+-](\d{1,9}[smhdw])+", text):
        parts = re.findall(r"(\d+)([smhdw])", text)
        seconds = sum(int(n) * _UNITS[unit] for n, unit in parts)
        at = now_s + (seconds if text[0] == "+" else -seconds)
    else:
        at = time_s(text)
    if at is None or not 0 <= at <= LATEST_S:
        raise BadValue(
            f"'{text}' is not a time; give one in UTC like {time_text(now_s)}, or +2h, +90s, now"
        )
    return at
