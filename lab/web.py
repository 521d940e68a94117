"""The page of a node: busybox httpd with files/www as a router has it, one for each who asks, as
inetd starts it. So the node may be in another world than the socket that listens."""

import shutil
import socket
import subprocess
import threading
from pathlib import Path

WWW = Path(__file__).resolve().parents[1] / "files/www"
AT_ONCE = 16  # who asks beyond that is not answered


def listen():
    """A socket for browsers of this machine alone."""
    return socket.create_server(("127.0.0.1", 0))


class Web:
    """folder: for its files. swdist: the path of the node's command. door: a socket that listens.
    inside(words): the command that runs these on the node."""

    def __init__(self, folder, swdist, door, inside=list):
        self.www = folder / "www"
        self.made = folder / "made"
        shutil.copytree(WWW, self.www)
        cgi = self.www / "cgi-bin/swdist"
        text = cgi.read_text()
        for old, new in (("/usr/bin/swdist", swdist), ("/var/run/swdist-page", self.made)):
            assert old in text
            text = text.replace(old, str(new))
        cgi.write_text(text)
        self.url = "http://{}:{}".format(*door.getsockname())
        self._door = door
        self._words = inside(["busybox", "httpd", "-i", "-h", str(self.www)])
        self._answering = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                browser, _ = self._door.accept()
            except OSError:  # closed
                return
            with browser:
                self._answering = [p for p in self._answering if p.poll() is None]
                if len(self._answering) < AT_ONCE:
                    self._answering.append(
                        subprocess.Popen(
                            self._words, stdin=browser, stdout=browser, stderr=subprocess.DEVNULL
                        )
                    )

    def close(self):
        if self._thread.is_alive():
            self._door.shutdown(socket.SHUT_RDWR)  # which wakes it
            self._thread.join()
        self._door.close()
        for process in self._answering:
            process.kill()
            process.wait()
