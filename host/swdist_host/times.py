"""Times as an operator gives them: in UTC, in a place's own time, or relative to now."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from swdist.formats.bits import time_s
from swdist_host.errors import BadValue

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LOCAL = re.compile(
    r"(tonight|tomorrow|\d{4}-\d\d-\d\d) (\d\d):(\d\d)(?::(\d\d))?(?: ([A-Za-z0-9_+/-]{1,64}))?"
)
LATEST_S = 253402300799  # 9999-12-31T23:59:59Z


def time_text(seconds):
    """The RFC 3339 form of seconds since 1970 (0..LATEST_S)."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return at.isoformat()[:19] + "Z"


def both(seconds, zone=None):
    """The same, and behind it the time in a zone, or else in this host's, if that is another."""
    try:
        there = datetime.fromtimestamp(seconds, UTC).astimezone(zone)
    except (OverflowError, ValueError, OSError):  # the last hours of the year 9999
        return time_text(seconds)
    if not there.utcoffset() and zone is None:
        return time_text(seconds)
    name = f"{there.tzname()}, {zone.key}" if zone is not None else there.tzname()
    return f"{time_text(seconds)} ({there:%Y-%m-%d %H:%M:%S} {name})"


def span(seconds):
    """For people: 12 s, 3 min 05 s, 4 h 10 min, 2 d 3 h, 33 y 31 d."""
    s = int(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02} s"
    if s < 86400:
        return f"{s // 3600} h {s // 60 % 60:02} min"
    days = s // 86400
    if days < 2 * 366:
        return f"{days} d {s // 3600 % 24} h"
    years = int(days / 365.2425)
    return f"{years} y {days - int(years * 365.2425)} d"


def parse(text, now_s):
    """Seconds since 1970 of `2030-01-31T12:00:00Z`, `+90s`, `+1d12h`, `-10m`, `now`,
    `2030-01-31 03:00 Europe/Berlin`, `tonight 03:00` or `tomorrow 03:00 Europe/Berlin`; without a
    zone it is this host's."""
    if text == "now":
        return now_s
    if re.fullmatch(r"[+-](\d{1,9}[smhdw])+", text):
        parts = re.findall(r"(\d+)([smhdw])", text)
        seconds = sum(int(n) * _UNITS[unit] for n, unit in parts)
        at = now_s + (seconds if text[0] == "+" else -seconds)
    elif found := _LOCAL.fullmatch(text):
        at = _local(text, found, now_s)
    else:
        at = time_s(text)
    if at is None or not 0 <= at <= LATEST_S:
        raise BadValue(
            f"'{text}' is not a time; give one in UTC like {time_text(now_s)}, with a zone like "
            "'2030-01-31 03:00 Europe/Berlin', or +2h, +90s, now, 'tonight 03:00'"
        )
    return at


def zone_of(text):
    """The ZoneInfo that a time names, or None."""
    found = _LOCAL.fullmatch(text or "")
    return _zone(found[5]) if found and found[5] else None


def _zone(name):
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise BadValue(
            f"there is no time zone '{name}' in this host's database (package tzdata); give one "
            "like Europe/Berlin, or the time in UTC"
        ) from None


def _local(text, found, now_s):
    """Seconds since 1970, or None where there is no such date. tonight: the next time that clocks
    there show it; tomorrow: on the next day."""
    day, *clock, name = found.groups()
    zone = _zone(name) if name else None
    now = datetime.fromtimestamp(now_s, UTC).astimezone(zone).replace(tzinfo=None)
    try:
        hour, minute, second = (int(n or 0) for n in clock)
        date = now.date() if day[0] == "t" else datetime.fromisoformat(day).date()
        at = datetime(date.year, date.month, date.day, hour, minute, second)
        if day == "tomorrow" or (day == "tonight" and at <= now):
            at += timedelta(days=1)
        first, second = (at.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    except (ValueError, OverflowError, OSError):
        return None
    if first != second:
        what = "is there twice" if first < second else "is skipped"
        raise BadValue(f"'{text}' {what} when clocks are changed there; give it in UTC")
    return int(first)
