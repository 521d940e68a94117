"""UCI configuration files, the part that swdist needs: config, option, list, package, comments."""

MAX_BYTES = 65536
MAX_LINES = 1024
MAX_SECTIONS = 64
MAX_OPTIONS = 128  # keys of one section type
MAX_LIST = 64
MAX_VALUE = 1024

_SPACE = " \t\r"
_NAME_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-."


def parse(text):
    """({type: {key: value, or list of values}}, None), or (None, reason with the line's number).

    Sections of one type are merged: a later option replaces an earlier one, lists grow."""
    if len(text) > MAX_BYTES:
        return None, "longer than %d bytes" % MAX_BYTES
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        return None, "more than %d lines" % MAX_LINES
    types = {}
    current = None
    sections = 0
    for i in range(len(lines)):
        words, why = _words(lines[i])
        if why is None and words:
            if words[0] == "config":
                sections += 1
                why = _section(words, types)
                if why is None and sections > MAX_SECTIONS:
                    why = "more than %d sections" % MAX_SECTIONS
                if why is None:
                    current = types[words[1]]
            elif words[0] in ("option", "list"):
                why = _option(words, current)
            elif words[0] != "package" or len(words) != 2:
                why = "'%s' is not config, option or list" % words[0]
        if why is not None:
            return None, "line %d: %s" % (i + 1, why)
    return types, None


def _words(line):
    """([word, ...], None), or (None, reason)."""
    words = []
    word = None  # None: between words
    quote = ""
    escaped = False
    for c in line:
        if escaped:
            word += c
            escaped = False
        elif quote:
            if c == quote:
                quote = ""
            elif c == "\\" and quote == '"':
                escaped = True
            else:
                word += c
        elif c in _SPACE:
            if word is not None:
                words.append(word)
                word = None
        elif c == "#" and word is None:
            break
        else:
            if word is None:
                word = ""
            if c in "'\"":
                quote = c
            elif c == "\\":
                escaped = True
            else:
                word += c
    if quote or escaped:
        return None, "a quote is not closed"
    if word is not None:
        words.append(word)
    for w in words:
        if len(w) > MAX_VALUE:
            return None, "a value is longer than %d characters" % MAX_VALUE
    return words, None


def _is_name(text):
    if not 0 < len(text) <= 64:
        return False
    for c in text:
        if c not in _NAME_CHARS:
            return False
    return True


def _section(words, types):
    """Returns what is wrong, or None."""
    if not 2 <= len(words) <= 3 or not _is_name(words[1]):
        return "not of the form: config TYPE ['NAME']"
    if words[1] not in types:
        types[words[1]] = {}
    return None


def _option(words, section):
    """Returns what is wrong, or None."""
    if section is None:
        return "%s before the first config" % words[0]
    if len(words) != 3 or not _is_name(words[1]):
        return "not of the form: %s KEY 'VALUE'" % words[0]
    key, value = words[1], words[2]
    if key not in section and len(section) >= MAX_OPTIONS:
        return "more than %d options" % MAX_OPTIONS
    if words[0] == "option":
        section[key] = value
        return None
    held = section.get(key)
    if held is None:
        section[key] = [value]
    elif isinstance(held, str):
        section[key] = [held, value]
    elif len(held) >= MAX_LIST:
        return "more than %d values of %s" % (MAX_LIST, key)
    else:
        held.append(value)
    return None
