"""The daemons' configuration: a UCI file, and flags that override it (docs/architecture.md, 5)."""

import sys

from swdist import VERSION
from swdist.formats import manifest, uci
from swdist.formats.bits import made_of, number, version
from swdist.shell import platform

DEFAULT_FILE = "/etc/config/swdist"
BOARD_FILE = "/tmp/sysinfo/board_name"
VERSION_FILE = "/usr/lib/swdist/version"  # of the image: configuration outlives sysupgrade
MAX_INTERFACES = 8
OPKG = ("/bin/opkg", "/usr/bin/opkg", "/bin/ipkg", "/usr/bin/ipkg")
APK = "/usr/bin/apk"

_NAME_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
_PATHS = {
    "store": "/usr/share/swdist/store",
    "state": "/usr/share/swdist/state",
    "run": "/var/run/swdist",
    "ca": "/etc/swdist/ca",
}
_NUMBERS = {  # key: default, lowest, highest
    "quota_kb": (1024, 64, 1048576),
    "images_kb": (0, 0, 131072),
    "confirm_s": (300, 1, 86400),
    "boot_horizon_s": (43200, 0, 315360000),
    "tftp_port": (27183, 1024, 65535),
    "beacon_ms": (0, 0, 60000),
    "relay_kb": (256, 0, 1048576),
    "hold": (0, 0, 1),
    "rendezvous_every_s": (21600, 20, 21600),
    "set_clock": (0, 0, 1),
}
_WORDS = {  # key: allowed ones, the default first
    "log": ("syslog", "stderr"),
    "log_level": ("info", "error", "warn", "debug"),
    "sntp": ("off", "serve", "broadcast"),
    "reference": ("off", "auto", "broadcast"),
}
_KEYS = tuple(_PATHS) + tuple(_NUMBERS) + tuple(_WORDS)
_KEYS += ("rendezvous", "interface", "board", "factory_version", "user", "group")

_USAGE = """usage: %s [--config FILE] [--set KEY=VALUE]... [--check]
FILE: %s
KEY: %s
"""


class Config:
    """One attribute an option; `interfaces` is the list of `interface`."""

    def log_to(self, tag):
        return platform.Log(self.log, self.log_level, tag)


def _say(text):
    sys.stdout.write(text)


def _fail(tag, where, what):
    # One line in the log, also where a value has several.
    sys.stderr.write(" ".join(("%s: %s: %s" % (tag, where, what)).split()) + "\n")
    raise SystemExit(2)


def load(argv, tag, fs, ready=None):
    """The Config. What is wrong is one line on stderr and SystemExit(2). ready(conf): what --check
    looks at besides; ValueError says what is wrong."""
    conf = Config()
    path = None
    sets = {}
    check = False
    i = 0
    while i < len(argv):
        flag, equals, value = argv[i].partition("=")
        i += 1
        if flag in ("--config", "--set"):
            if not equals:
                if i == len(argv):
                    _fail(tag, flag, "value is missing; see --help")
                value = argv[i]
                i += 1
            if flag == "--config":
                path = value
            else:
                key, equals, value = value.partition("=")
                if not equals:
                    _fail(tag, "--set " + key, "not of the form KEY=VALUE; see --help")
                if key not in _KEYS:
                    _fail(tag, "--set " + key, "no such option; see --help for all")
                sets[key] = value.split(",") if key in ("interface", "group") else value
        elif flag == "--check" and not equals:
            check = True
        elif flag == "--help" and not equals:
            _say(_USAGE % (tag, DEFAULT_FILE, " ".join(sorted(_KEYS))))
            raise SystemExit(0)
        elif flag == "--version" and not equals:
            _say("%s %s\n" % (tag, VERSION))
            raise SystemExit(0)
        else:
            _fail(tag, argv[i - 1], "no such flag; see --help")
    conf.path = path or DEFAULT_FILE
    options = _read(path, tag, fs, "interface" in sets)
    why = None
    for key in options:
        if key not in _KEYS:
            why = "no option '%s' is known; remove it or correct its name" % key
            _fail(tag, path or DEFAULT_FILE, why)
    for key in _KEYS:
        where = path or DEFAULT_FILE
        value = options.get(key)
        if key in sets:
            value = sets[key]
            where = "--set " + key
        why = _take(conf, key, value, fs)
        if why is not None:
            _fail(tag, where, why)
    if check:
        try:
            if ready:
                ready(conf)
        except ValueError as e:
            _fail(tag, "check", e)
        status = 0
        for name in conf.interfaces:
            if not fs.is_dir("/sys/class/net/" + name):
                sys.stderr.write("no interface '%s' now\n" % name)
                status = 1  # it may come
        raise SystemExit(status)
    return conf


def _read(path, tag, fs, optional):
    """The options of the file's `config swdist` sections."""
    data = fs.read(path or DEFAULT_FILE, uci.MAX_BYTES)
    if data is None:
        if path is None and optional:
            return {}
        why = "can't be read or is too long; create it with config swdist and list interface"
        _fail(tag, path or DEFAULT_FILE, why)
    try:
        text = str(data, "utf-8")
    except (UnicodeError, ValueError):
        _fail(tag, path or DEFAULT_FILE, "is not text; correct it")
    types, why = uci.parse(text)
    if types is None:
        _fail(tag, path or DEFAULT_FILE, why + "; correct it")
    return types.get("swdist", {})


def _take(conf, key, value, fs):
    """Sets one option, None for its default. Returns what is wrong, or None."""
    if key == "interface":
        return _interfaces(conf, value)
    if key == "group":
        return _groups(conf, value)
    if isinstance(value, list):
        return "option %s is a list; give one value" % key
    if key in _PATHS:
        if value is None:
            value = _PATHS[key]
        if not value.startswith("/") or len(value) > 200 or "\0" in value:
            return "option %s is '%s'; give an absolute path" % (key, value)
        setattr(conf, key, value.rstrip("/") or "/")
    elif key in _NUMBERS:
        default, low, high = _NUMBERS[key]
        parsed = default if value is None else number(value, low, high)
        if key == "beacon_ms" and 0 < (parsed or 0) < 200:
            return "option beacon_ms is %d; give 200 or more, or 0 for automatic" % parsed
        if parsed is None:
            return "option %s is '%s'; give a number %d..%d" % (key, value, low, high)
        setattr(conf, key, parsed)
    elif key in _WORDS:
        if value is None:
            value = _WORDS[key][0]
        if value not in _WORDS[key]:
            return "option %s is '%s'; give one of: %s" % (key, value, " ".join(_WORDS[key]))
        setattr(conf, key, value)
    else:
        return _take_special(conf, key, value, fs)
    return None


def _take_special(conf, key, value, fs):
    if key == "board":
        if value is None:
            value = _board(fs)
        if not 0 < len(value) <= 64 or " " in value:
            return "option board is '%s'; give 1..64 characters without a space" % value
        conf.board = value
    elif key == "factory_version":
        said = fs.read(VERSION_FILE, 18)
        if said is not None:
            value = "".join([chr(c) for c in said]).strip()
        conf.factory_version = version("0.0.0" if value is None else value)
        if conf.factory_version is None:
            return "option factory_version is '%s'; give three numbers like 1.2.0" % value
    elif key == "rendezvous":
        conf.rendezvous = value
        return None if value is None else _interfaces(conf, [value])  # the others come later
    else:
        conf.user = {None: "swdist", "root": ""}.get(value, value)
        if conf.user and not made_of(conf.user, 32, _NAME_CHARS):
            return "option user is '%s'; give a user's name, root to stay root" % value
    return None


def _interfaces(conf, names):
    if isinstance(names, str):
        names = names.split()
    if not names:
        return "no interface is set; add list interface 'NAME' under config swdist"
    for name in names:
        if not made_of(name, 15, _NAME_CHARS) or name in (".", ".."):
            return "interface '%s' is not a name; give 1..15 of A-Za-z0-9._-" % name
    conf.interfaces = []
    for name in names:
        if name not in conf.interfaces:
            conf.interfaces.append(name)
    if len(conf.interfaces) > MAX_INTERFACES:
        return "more than %d interfaces; remove some" % MAX_INTERFACES
    conf.interface = conf.interfaces
    return None


def _groups(conf, names):
    """Those that the node's owner has put it into, for experimental releases."""
    if isinstance(names, str):
        names = names.split()
    conf.groups = tuple(names or ())
    for name in conf.groups:
        if not manifest.is_group(name):
            return "group '%s' is not a name; give 1..32 of a-z0-9_-" % name
    if len(conf.groups) > manifest.MAX_GROUPS:
        return "more than %d groups; remove some" % manifest.MAX_GROUPS
    return None


def kinds(conf, fs):
    """The kinds of payloads that can be installed here."""
    found = ["slot"]
    if [p for p in OPKG if fs.size(p) is not None]:
        found.append("ipk")
    if fs.size(APK) is not None:
        found.append("apk")
    if conf.images_kb:
        found.append("image")
    return tuple(found)


def _board(fs):
    data = fs.read(BOARD_FILE, 128)
    try:
        return (str(data, "ascii").strip().split("\n")[0] if data else "") or "unknown"
    except (UnicodeError, ValueError):
        return "unknown"
