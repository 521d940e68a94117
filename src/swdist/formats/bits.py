"""Small text forms used by more than one format: hex, decimal numbers, times."""

from binascii import hexlify, unhexlify

_HEX = "0123456789abcdef"
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def sooner(a, b):
    """The earlier of two counters, either of which may be None."""
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


def to_hex(data):
    return str(hexlify(data), "ascii")


def plain(data):
    """What a program or a stranger says, as one line of ASCII that harms no terminal and no log."""
    return "".join([chr(c) for c in data if 32 <= c < 127])


def made_of(text, longest, chars):
    """Is it 1..longest characters, all of them among chars?"""
    if not 0 < len(text) <= longest:
        return False
    for c in text:
        if c not in chars:
            return False
    return True


def from_hex(text, size):
    """The bytes of exactly 2 * size lower-case hex digits, or None."""
    if len(text) != 2 * size or not made_of(text, 2 * size, _HEX):
        return None
    return unhexlify(text)


def number(text, low, high):
    """A decimal number low..high without sign, space or leading zero, or None."""
    if not 0 < len(text) <= 10 or (text[0] == "0" and text != "0"):
        return None
    value = 0
    for c in text:
        if not "0" <= c <= "9":
            return None
        value = value * 10 + ord(c) - 48
    return value if low <= value <= high else None


def version(text):
    """`a.b.c`, each 0..65535, as a tuple, or None."""
    parts = text.split(".")
    if len(parts) != 3:
        return None
    numbers = tuple([number(p, 0, 65535) for p in parts])
    return None if None in numbers else numbers


def version_text(numbers):
    return "%d.%d.%d" % numbers


def _leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _month_days(year, month):
    return 29 if month == 2 and _leap(year) else _DAYS[month - 1]


def _days(year):
    """Days from 1970-01-01 to the first day of the year."""
    y = year - 1
    return y * 365 + y // 4 - y // 100 + y // 400 - 719162


def time_s(text):
    """Seconds since 1970 of `YYYY-MM-DDThh:mm:ssZ` (RFC 3339, UTC, second 0..59), or None."""
    if len(text) != 20 or text[4] + text[7] + text[10] + text[13] + text[16] + text[19] != "--T::Z":
        return None
    fields = []
    for a, b in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)):
        value = 0
        for c in text[a:b]:
            if not "0" <= c <= "9":
                return None
            value = value * 10 + ord(c) - 48
        fields.append(value)
    year, month, day, hour, minute, second = fields
    if year < 1970 or not 1 <= month <= 12 or not 1 <= day <= _month_days(year, month):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    days = _days(year) + day - 1
    for m in range(1, month):
        days += _month_days(year, m)
    return ((days * 24 + hour) * 60 + minute) * 60 + second
