"""UCI configuration files, as libuci reads them: config, option, list, package, comments."""

from swdist.formats.bits import made_of

MAX_BYTES = 65536
MAX_SECTIONS = 64
MAX_OPTIONS = 128  # keys of one section type
MAX_LIST = 128
MAX_VALUE = 2048

_ENDS = " \t\r\v\f\n;#"  # of a word that no quote holds together
_NAME_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"


def parse(text):
    """({type: {key: value, or list of values}}, None), or (None, reason with the line's number).

    Sections of one type are merged: a later option replaces an earlier one, an empty one is
    none, lists grow."""
    if len(text) > MAX_BYTES:
        return None, "longer than %d bytes" % MAX_BYTES
    types = {}
    names = {}
    current = None
    sections = 0
    for line, words in _commands(text):
        why = None
        if isinstance(words, str):
            why = words
        elif words[0] in ("config", "c"):
            sections += 1
            why = _section(words, types, names)
            if why is None and sections > MAX_SECTIONS:
                why = "more than %d sections" % MAX_SECTIONS
            if why is None:
                current = types[words[1]]
        elif words[0] in ("option", "o", "list", "l"):
            why = _option(words, current)
        elif words[0] not in ("package", "p") or len(words) != 2:
            why = "'%s' is not config, option or list" % words[0]
        if why is not None:
            return None, "line %d: %s" % (line, why.replace("\n", " "))
    return types, None


def _commands(text):
    """Yields (number of its first line, [word, ...]); (number, reason) if it fails, the last."""
    words = []
    word = None  # between words
    plain = True  # the word stands there as it is
    quote = ""
    escaped = skip = False
    line = first = 1
    for c in text + "\n\n":  # a backslash may eat the one
        if c == "\n":
            line += 1
        elif skip:
            continue
        if escaped:
            escaped = c == "\r"
            if c in "\r\n":
                continue
        elif c == "\\" and quote != "'":
            escaped = True
            plain = False
            word = word or ""
            continue
        elif quote:
            if c == quote:
                quote = ""
                continue
        elif c in _ENDS:
            # Behind a plain word libuci loses the rest of the line with the semicolon.
            skip = c == "#" or c == ";" and plain and word is not None
            if word is not None:
                words.append(word if words or plain else "'%s'" % word)
                word = None
                plain = True
            if c == ";" and not skip and len(words) < 3:
                words.append("")  # it takes it for the missing word
            elif c == "\n" or c == ";" and not skip:
                if words:
                    yield first, words
                    words = []
                first = line
            continue
        elif c in "'\"":
            quote = c
            plain = False
            word = word or ""
            continue
        word = (word or "") + c
        if len(word) > MAX_VALUE:
            yield first, "a value is longer than %d characters" % MAX_VALUE
    if quote:
        yield first, "a quote is not closed"


def _section(words, types, names):
    """Returns what is wrong, or None."""
    kind = words[1] if 2 <= len(words) <= 3 else ""
    name = words[2] if len(words) == 3 else ""
    for c in kind:
        if not "!" <= c <= "~":
            kind = ""
    if not 0 < len(kind) <= 64 or name and not made_of(name, 64, _NAME_CHARS):
        return "not of the form: config TYPE ['NAME'], the name of letters, digits and _"
    if name and names.setdefault(name, kind) != kind:
        return "'%s' is a section of type %s already" % (name, names[name])
    types.setdefault(kind, {})
    return None


def _option(words, section):
    """Returns what is wrong, or None."""
    if section is None:
        return "%s before the first config" % words[0]
    if not 2 <= len(words) <= 3 or not made_of(words[1], 64, _NAME_CHARS):
        return "not of the form: %s KEY 'VALUE', KEY of letters, digits and _" % words[0]
    key, value = words[1], words[2] if len(words) == 3 else ""
    held = section.get(key)
    if words[0][0] == "o":
        if value:  # else libuci leaves it as it was
            section[key] = value
    elif isinstance(held, str):
        section[key] = [held, value]
    elif held is None:
        section[key] = [value]
    elif len(held) >= MAX_LIST:
        return "more than %d values of %s" % (MAX_LIST, key)
    else:
        held.append(value)
    if len(section) > MAX_OPTIONS:
        return "more than %d options" % MAX_OPTIONS
    return None
