from swdist.formats import uci
from swdist.wiring import config


class Fs:
    """Files from a dictionary."""

    def __init__(self, **files):
        self.files = {config.DEFAULT_FILE: b"config swdist\n list interface mesh0\n"}
        for name in files:
            self.files["/" + name] = files[name]

    def read(self, path, limit):
        data = self.files.get(path)
        return data if data is not None and len(data) <= limit else None

    def is_dir(self, path):
        return path == "/sys/class/net/mesh0"


class Output:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


def failure(argv, fs=None):
    """The line of an error."""
    lines = []
    kept = config._fail

    def fail(tag, where, what):
        lines.append("%s: %s: %s" % (tag, where, what))
        raise SystemExit(2)

    config._fail = fail
    try:
        config.load(argv, "t", fs or Fs())
        code = None
    except SystemExit as e:
        code = e.args[0]
    finally:
        config._fail = kept
    assert code == 2, (argv, code)
    assert "\n" not in lines[0]
    return lines[0]


def with_text(text):
    return failure(["--config", "/f"], Fs(f=b"config swdist\n list interface a\n" + text))


def test_defaults():
    c = config.load([], "t", Fs())
    assert c.interface == c.interfaces == ["mesh0"]
    assert (c.store, c.state) == ("/usr/share/swdist/store", "/usr/share/swdist/state")
    assert (c.run, c.ca) == ("/var/run/swdist", "/etc/swdist/ca")
    assert (c.board, c.factory_version, c.user) == ("unknown", (0, 0, 0), "swdist")
    assert (c.quota_kb, c.confirm_s, c.boot_horizon_s) == (1024, 300, 43200)
    assert (c.set_clock, c.beacon_ms, c.tftp_port) == (False, 0, 27183)
    assert (c.log, c.log_level) == ("syslog", "info")
    assert (c.rendezvous, c.rendezvous_every_s) == (None, 21600)
    assert config.load(["--set", "rendezvous=wlan0.1"], "t", Fs()).rendezvous == "wlan0.1"


def test_the_file_and_flags_over_it():
    text = b"config swdist\n list interface a\n list interface b\n option log stderr\n"
    text += b" option user root\n option set_clock 1\n option factory_version 1.2.3\n"
    c = config.load(
        ["--config", "/f", "--set", "interface=c,d", "--set=store=/x/", "--set", "beacon_ms=200"],
        "t",
        Fs(f=text),
    )
    assert c.interface == ["c", "d"]
    assert (c.log, c.user, c.set_clock, c.store) == ("stderr", "", True, "/x")
    assert (c.factory_version, c.beacon_ms) == ((1, 2, 3), 200)


def test_version_of_the_image_is_what_the_image_says_and_not_old_configuration():
    text = b"config swdist\n list interface a\n option factory_version 1.2.3\n"
    for said, expected in ((None, (1, 2, 3)), (b"2.0.0\n", (2, 0, 0)), (b"0.9.0", (0, 9, 0))):
        fs = Fs(f=text)
        if said is not None:
            fs.files[config.VERSION_FILE] = said
        assert config.load(["--config", "/f"], "t", fs).factory_version == expected
    for garbage in (b"", b"two", b"\xff\xfe", b"1.2"):
        fs = Fs(f=text)
        fs.files[config.VERSION_FILE] = garbage
        assert "option factory_version is '" in failure(["--config", "/f"], fs)


def test_images_are_off_unless_room_is_given():
    assert config.load([], "t", Fs()).images_kb == 0
    text = b"config swdist\n list interface a\n option images_kb 8192\n"
    assert config.load(["--config", "/f"], "t", Fs(f=text)).images_kb == 8192
    assert "images_kb" in with_text(b" option images_kb 131073\n")


def test_without_the_default_file_the_flags_must_name_an_interface():
    fs = Fs()
    del fs.files[config.DEFAULT_FILE]
    assert config.load(["--set", "interface=a"], "t", fs).interface == ["a"]
    assert failure([], fs).startswith("t: /etc/config/swdist: can't be read")
    assert "/f: can't be read" in failure(["--config", "/f", "--set", "interface=a"], fs)


def test_board_comes_from_the_system():
    fs = Fs()
    fs.files[config.BOARD_FILE] = b"tplink,tl-wr841n-v9\n"
    assert config.load([], "t", fs).board == "tplink,tl-wr841n-v9"
    assert config.load(["--set", "board=x"], "t", fs).board == "x"


def test_wrong_flags():
    assert failure(["--nonsense"]) == "t: --nonsense: no such flag; see --help"
    failure(["nonsense"])
    failure(["--config"])
    failure(["--set", "log"])
    failure(["--check=1"])
    assert "no such option" in failure(["--set", "nonsense=1"])
    assert failure(["--set", "log=x"]).startswith("t: --set log: option log is 'x'; give one of")


def test_wrong_values():
    for line in (
        b"nonsense 1",
        b"store relative",
        b"log file",
        b"log_level trace",
        b"quota_kb 63",
        b"quota_kb 1048577",
        b"confirm_s 0",
        b"boot_horizon_s -1",
        b"rendezvous ../wlan0",
        b"rendezvous 'wlan0 down'",
        b"rendezvous ..",
        b"rendezvous 1234567890123456",
        b"rendezvous_every_s 19",
        b"rendezvous_every_s 21601",
        b"beacon_ms 199",
        b"beacon_ms 60001",
        b"tftp_port 1023",
        b"tftp_port 65536",
        b"factory_version 1.2",
        b"set_clock yes",
        b"user 'a b'",
        b"board 'a b'",
        b"interface ' '",
    ):
        assert with_text(b" option " + line + b"\n").startswith("t: /f: ")
    assert with_text(b" list store /a\n").startswith("t: /f: option store is a list")
    assert with_text(b" optoin\n").startswith("t: /f: line 3: ")


def test_interfaces():
    def interfaces(value):
        return failure(["--set", "interface=" + value])

    for value in ("", "a b", "a/b", "..", "x" * 16, "a,,b", ",".join("abcdefghi")):
        interfaces(value)
    c = config.load(["--set", "interface=a,a,b.1-_"], "t", Fs())
    assert c.interface == ["a", "b.1-_"]
    assert "no interface" in failure(["--config", "/f"], Fs(f=b"config swdist\n"))


def test_a_file_too_long_or_not_text():
    failure(["--config", "/f"], Fs(f=b"#" * (uci.MAX_BYTES + 1)))
    failure(["--config", "/f"], Fs(f=b"\xff\xfe"))


def test_check_help_and_version_exit_with_0():
    for flag in ("--check", "--help", "--version"):
        kept = config._say
        config._say = Output().write
        try:
            config.load([flag], "t", Fs())
            code = None
        except SystemExit as e:
            code = e.args[0]
        finally:
            config._say = kept
        assert code == 0, flag
    try:  # it may come: no reason not to start
        config.load(["--set", "interface=gone", "--check"], "t", Fs())
        raise AssertionError("no word of it")
    except SystemExit as e:
        assert e.args[0] == 1


def test_kinds_are_what_the_package_manager_here_installs():
    class Conf:
        images_kb = 0

    class Files:
        def __init__(self, *names):
            self.size = lambda path: 1 if path in names else None

    assert config.kinds(Conf, Files()) == ("slot",)
    assert config.kinds(Conf, Files("/bin/opkg")) == ("slot", "ipk")
    assert config.kinds(Conf, Files("/usr/bin/apk")) == ("slot", "apk")
