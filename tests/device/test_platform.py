"""The shell's files and commands, on this host for real."""

import gc
import os
import socket
import struct
import sys

from swdist.formats.bits import to_hex
from swdist.shell import ifaces, libc, net, platform, unixsock

FS = platform.Fs()


class Folder:
    def __enter__(self):
        self.path = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
        FS.mkdirs(self.path)
        return self.path

    def __exit__(self, *_):
        assert platform.run(("rm", "-rf", self.path), 10) == 0


def link(target, path):
    assert platform.run(("ln", "-s", target, path), 5) == 0


def test_removing_a_tree_follows_no_link():
    with Folder() as root:
        for name in ("/kept", "/tree", "/tree/sub"):
            FS.mkdirs(root + name)
        FS.write_atomic(root + "/kept/file", b"x")
        link(root + "/kept", root + "/tree/link")
        link(root + "/kept/file", root + "/tree/sub/link")
        link(root + "/nowhere", root + "/tree/sub/dangling")
        FS.rmtree(root + "/tree")
        assert FS.listdir(root) == ["kept"] and FS.read(root + "/kept/file", 9) == b"x"
        link(root + "/kept", root + "/top")
        FS.rmtree(root + "/top")
        assert FS.listdir(root) == ["kept"] and FS.listdir(root + "/kept") == ["file"]
        FS.rmtree(root + "/never-was")


def test_what_cannot_be_removed_is_said():
    try:
        FS.rmtree("/proc/version")
        raise AssertionError("removed")
    except OSError:
        pass


def test_pipe_in_the_place_of_a_file_holds_nobody():
    if platform.MICROPYTHON and libc.ffi is None:
        return  # such a runtime can open files only as MicroPython does: docs/architecture.md
    with Folder() as root:
        assert platform.run(("mkfifo", root + "/pipe"), 5) == 0
        assert FS.read(root + "/pipe", 100) in (None, b"")
        with FS.open(root + "/pipe", "rb") as f:
            assert not f.readinto(bytearray(10))


class SlowFs(platform.Fs):
    """Another process makes each folder right after this one has looked for it."""

    def __init__(self):
        self.looked = []

    def is_dir(self, path):
        there = platform.Fs.is_dir(self, path)
        if not there and path not in self.looked:
            self.looked.append(path)
            FS.mkdirs(path)
        return there


def test_two_processes_can_make_the_same_folders_at_once():
    with Folder() as root:
        fs = SlowFs()
        fs.mkdirs(root + "/a/b/c")
        assert FS.is_dir(root + "/a/b/c") and len(fs.looked) == 3
        FS.write_atomic(root + "/file", b"")
        try:
            FS.mkdirs(root + "/file/sub")
            raise AssertionError("made")
        except OSError:
            pass


class Flushes(platform.Fs):
    def __init__(self):
        self.flushed = []

    def sync_dir(self, path):
        self.flushed.append(path)
        platform.Fs.sync_dir(self, path)


def test_name_of_each_folder_that_is_made_is_flushed():
    with Folder() as root:
        fs = Flushes()
        fs.mkdirs(root + "/a/b")
        assert fs.flushed == [root + "/a/..", root + "/a/b/.."]
        fs.mkdirs(root + "/a/b")
        assert len(fs.flushed) == 2


def inherited_sockets(root):
    """Of a program started by us, as the kernel shows them."""
    script = "ls -l /proc/self/fd >" + root + "/fds"
    assert platform.run(("sh", "-c", script), 5) == 0
    return FS.read(root + "/fds", 9999).count(b"socket:")


def test_programs_that_we_start_inherit_no_socket():
    with Folder() as root:
        before = inherited_sockets(root)
        path = root + "/socket"
        kept = [
            unixsock.Unix(path),
            net.Udp(net.socket4(0, False, None), True, None, None, 1),
        ]
        sender = unixsock.UnixSender(path)
        assert sender.send(b"x") and kept[0].recv() == b"x"
        assert inherited_sockets(root) == before
        sender.close()
        for sock in kept:
            sock.close()


def test_machine_is_known_by_the_program_s_header():
    with Folder() as root:
        elf = b"\x7fELF\x01\x02\x01" + bytes(9) + b"\x00\x02"
        for machine, mips in ((b"\x00\x08", True), (b"\x08\x00", True), (b"\x00\x3e", False)):
            FS.write_atomic(root + "/program", elf + machine + bytes(30))
            assert libc._is_mips(root + "/program") == mips
        assert not libc._is_mips(root + "/missing")


def test_missing_file_costs_no_descriptor_and_no_socket_is_number_0():
    """MicroPython 1.20 closes 0 for each file that can't be opened, when it collects garbage."""
    gc.collect()
    with open("/dev/null"):  # where the tests before have cost it
        assert ifaces.lines("/sys/class/net/missing/ifindex") == []
        gc.collect()
        os.stat("/proc/self/fd/0")
    if libc.call("i", "close", "i", 0) is None:
        return  # no ffi
    sock = unixsock.datagram_socket(socket.AF_UNIX)
    assert sock.fileno()
    sock.close()


def test_command_gets_its_words_as_they_are_and_says_its_status():
    assert platform.run(("sh", "-c", "exit 3"), 5) == 3
    assert platform.run(("test", "a'b; false $HOME", "=", "a'b; false $HOME"), 5) == 0


def test_command_that_hangs_is_ended_also_when_it_ignores_the_asking():
    assert platform.run(("sh", "-c", "trap '' TERM; while :; do :; done"), 1) == 137


HANGS = """
(trap '' TERM; sleep %d & sleep %d) &
(setsid sh -c 'sleep %d; :' &)
(sleep %d &)
echo asking olsrd
sleep %d
"""


def running(words):
    """Numbers of the processes with that command line."""
    found = []
    for pid in FS.listdir("/proc"):
        try:
            with FS.open("/proc/%s/cmdline" % pid, "rb") as f:
                line = f.read(4096)
        except OSError:
            continue
        if pid[0] in "123456789" and line and words in line.replace(b"\0", b" "):
            found.append(int(pid))
    return found


def gone(words):
    """Are there none any more? What was killed takes a moment."""
    for _ in range(40):
        if not running(words):
            return True
        platform.run(("sleep", "0.1"), 5)
    return False


def test_with_a_command_that_hangs_all_ends_that_it_has_started():
    """Also what ignores TERM, has lost its parent, or is in another session."""
    with Folder() as root:
        said = root + "/said"
        n = 1000 + platform.rand(1000)
        assert platform.run(("sh", "-c", HANGS % (n, n, n, n, n)), 1, False, said) == 137
        assert FS.read(said, 99) == b"asking olsrd"
        assert gone(b"sleep %d" % n)


def test_what_a_command_in_time_leaves_running_stays_and_holds_up_nobody():
    with Folder() as root:
        said = root + "/said"
        before = platform.Clock().counter_us()
        script = "sleep 20 & echo $! >%s/left; echo up; exit 4" % root
        assert platform.run(("sh", "-c", script), 9, False, said) == 4
        assert platform.Clock().counter_us() - before < 9000000
        assert FS.read(said, 99) == b"up"
        left = str(FS.read(root + "/left", 9), "ascii").strip()
        assert platform.run(("kill", left), 5) == 0


def test_nothing_that_watched_a_command_outlives_it():
    limit_s = 100000 + platform.rand(899999)
    for _ in range(40):
        assert platform.run(("true",), limit_s) == 0
    assert gone(b" %d " % limit_s)


def test_library_that_procd_preloads_is_not_handed_on():
    with Folder() as root:
        said = root + "/said"
        os.putenv("LD_PRELOAD", "libc.so.6")
        try:
            assert platform.run(("sh", "-c", "env | grep -c LD_PRELOAD"), 5, False, said) == 1
        finally:
            os.unsetenv("LD_PRELOAD")
        assert FS.read(said, 9) == b"0"


def test_signals_are_those_of_the_kernel_in_the_machine_s_own_words():
    if libc.ffi is None:
        return  # CPython has signal, and without ffi SIGTERM simply ends the process
    old = bytearray(128)
    assert platform.stop_fd() is not None
    assert libc.call("i", "sigprocmask", "iPP", 0, None, old) == 0
    number = int.from_bytes(old[:8], sys.byteorder)
    assert number & (1 << 1) and number & (1 << 14)


def test_system_clock_is_a_reference_only_where_the_kernel_calls_it_synchronised():
    def timex(status, most):
        return struct.pack("@Illlli", 0, 0, 0, most, 0, status) + bytes(200)

    assert libc.clock_error(timex(0x2001, 1500)) == 1500
    assert libc.clock_error(timex(0, 1000000)) == 1000000
    assert libc.clock_error(timex(0x41, 1500)) is None
    assert libc.clock_error(timex(0x2001, 1000001)) is None
    error = libc.reference_error()
    assert error is None or 0 <= error <= 1000000
    if libc.ffi is None:
        assert error is None
