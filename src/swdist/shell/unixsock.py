"""UNIX datagram sockets: between the two processes, and to syslog. Same on both Pythons."""

import os
import socket
import struct
import sys
import time

MICROPYTHON = sys.implementation.name == "micropython"
MAX_DATAGRAM = 2048
SOCK_CLOEXEC = 0x80000


def datagram_socket(family):
    """One that the programs which we start don't inherit: else a port would still be in use when
    this process has long been replaced by a new one. CPython's are always so."""
    if MICROPYTHON:
        try:
            s = socket.socket(family, socket.SOCK_DGRAM | SOCK_CLOEXEC)
            # MicroPython 1.20 closes 0 for each file that can't be opened: a socket there is left.
            return s if s.fileno() else datagram_socket(family)
        except OSError:
            pass  # a kernel before 2.6.27
    return socket.socket(family, socket.SOCK_DGRAM)


def _address_unix(path):
    if MICROPYTHON:
        return struct.pack("@H", socket.AF_UNIX) + path.encode() + b"\0"
    return path


class Unix:
    """A bound UNIX datagram socket. ValueError if it can't be made."""

    def __init__(self, path):
        try:
            os.remove(path)
        except OSError:
            try:  # a folder in its way
                os.rename(path, "%s.%d" % (path, time.time()))
            except OSError:
                pass
        self._path = path
        self._sock = datagram_socket(socket.AF_UNIX)
        try:
            self._sock.bind(_address_unix(path))
        except OSError as e:
            self._sock.close()
            raise ValueError("socket %s can't be made (%s): is its directory there?" % (path, e))
        self._sock.setblocking(False)
        self.fd = self._sock.fileno()

    def recv(self):
        """One datagram, or None."""
        try:
            return self._sock.recv(MAX_DATAGRAM)
        except OSError:
            return None

    def send_to(self, path, data):
        try:
            self._sock.sendto(data, _address_unix(path))
        except OSError:
            return False
        return True

    def close(self):
        self._sock.close()
        try:
            os.remove(self._path)
        except OSError:
            pass


class UnixSender:
    """Sends to one path; connects when needed, and again when the receiver was restarted."""

    def __init__(self, path):
        self._path = path
        self._sock = None

    def send(self, data):
        for _ in range(2):
            try:
                if self._sock is None:
                    self._sock = datagram_socket(socket.AF_UNIX)
                    self._sock.setblocking(False)
                    self._sock.connect(_address_unix(self._path))
                self._sock.send(data)
                return True
            except OSError:
                self.close()
        return False

    def close(self):
        if self._sock is not None:
            self._sock.close()
            self._sock = None
