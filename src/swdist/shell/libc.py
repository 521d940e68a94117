"""What MicroPython's unix port lacks, from libc through ffi where the runtime has it.

Each function says False or None where that is not possible: the caller does the best honest thing.
"""

import array
import struct

try:
    import ffi
except ImportError:
    ffi = None

_NAMES = ("libc.so.6", "libc.so", "libc.musl-mipsel-sf.so.1", "libc.musl-mips-sf.so.1")
_lib = None
_ahead = False  # is rank()?


def _is_mips(program):
    """By the ELF header of the program: not each build says it of itself."""
    try:
        with open(program, "rb") as f:
            head = f.read(20)
    except OSError:
        return False
    return head[18:20] in (b"\x08\x00", b"\x00\x08")  # e_machine is EM_MIPS


MIPS = _is_mips("/proc/self/exe")  # some numbers differ there


def open_fd(path):
    """open(2) for reading, without waiting for a pipe's writer, or for who holds a lease on a file.
    None without ffi."""
    return call("i", "open", "sii", path, 0x80 if MIPS else 0x800, 0)  # O_NONBLOCK


def library(name):
    """A shared library, or None."""
    try:
        return None if ffi is None else ffi.open(name)
    except OSError:
        return None


def _libc():
    global _lib
    for name in _NAMES:
        _lib = _lib or library(name)
    return _lib


def c_function(result, name, arguments):
    """A libc function, types in ffi's letters; None if it can't be had."""
    lib = _libc()
    try:
        return lib and lib.func(result, name, arguments)
    except OSError:
        return None


def call(result, name, arguments, *values):
    """Calls one. None if it can't be had."""
    f = c_function(result, name, arguments)
    return f and f(*values)


def set_ids(uid, gid):
    """Gives up root for good: groups, gid, uid. False if not possible."""
    return (
        call("i", "setgroups", "LP", 1, array.array("I", [gid])) == 0
        and call("i", "setgid", "I", gid) == 0
        and call("i", "setuid", "I", uid) == 0
    )


def chown(path, uid, gid):
    return call("i", "chown", "sII", path, uid, gid) == 0


def chmod(path, mode):
    return call("i", "chmod", "sI", path, mode) == 0


def stop_fd():
    """A descriptor that becomes readable at SIGTERM or SIGINT, which no longer end the process
    (signalfd(2)). None if not possible: then they end it at once, and all state is safe anyway."""
    signals = array.array("L", [1 << 1 | 1 << 14] + [0] * 31)  # SIGINT is 2, SIGTERM 15
    if call("i", "sigprocmask", "iPP", 1 if MIPS else 0, signals, None) != 0:
        return None
    fd = call("i", "signalfd", "iPi", -1, signals, 0x80000)  # SFD_CLOEXEC
    return fd if fd is not None and fd >= 0 else None


def rank(ahead):
    """Ahead of all other processes, in real time, or back, for what it starts would keep it. Real
    time is not allowed in each group, so also by nice, which among groups has no say. Is it now?"""
    global _ahead
    if ahead != _ahead and call("i", "nice", "i", -19 if ahead else 19) not in (None, -1):
        _ahead = ahead
        first = array.array("i", [int(ahead)])  # SCHED_FIFO is 1, and so is its least priority
        me = call("P", "pthread_self", "")
        call("i", "pthread_setschedparam", "PiP", me, int(ahead), first)  # musl has no other for it
    return _ahead


def set_clock(seconds, microseconds):
    """settimeofday(2); time_t of the runtime's own word size. False if not possible."""
    now = array.array("l", [seconds, microseconds, 0, 0])
    return call("i", "settimeofday", "PP", now, None) == 0


def clock_error(timex):
    """Of adjtimex(2)'s structure: by how many us the system's clock may be wrong at most; None if
    the kernel does not call it synchronised, or if that is more than a second."""
    _, _, _, most, _, status = struct.unpack_from("@Illlli", timex)
    return most if not status & 0x40 and 0 <= most <= 1000000 else None  # STA_UNSYNC


def reference_error():
    """clock_error of this system, as NTP or GPS keep it; None also without ffi."""
    timex = bytearray(256)
    return None if call("i", "adjtimex", "P", timex) in (None, -1) else clock_error(timex)
