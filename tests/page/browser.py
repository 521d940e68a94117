"""Headless Chromium, asked over a pipe in the DevTools protocol: JSON and a zero byte a message.

One process shows all pages of a test run; what it is told is undone with each `open`.
"""

import base64
import json
import os
import selectors
import subprocess
import time

ANSWER_S = 30
PHONE, DESKTOP = (390, 844), (1280, 900)
# Without its own sandbox, for tests run as root; nothing but pages of this project is opened.
FLAGS = """--headless --no-sandbox --remote-debugging-pipe --no-first-run --disable-gpu
    --disable-background-networking --disable-component-update --disable-sync --mute-audio
    --disable-dev-shm-usage --hide-scrollbars --lang=en""".split()


class Browser:
    def __init__(self, folder):
        ours, its = os.pipe(), os.pipe()

        def places():  # Chromium reads from 3 and writes to 4
            kept = os.dup(ours[0]), os.dup(its[1])
            os.dup2(kept[0], 3)
            os.dup2(kept[1], 4)

        self._log = (folder / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            ["chromium", *FLAGS, f"--user-data-dir={folder / 'chromium'}"],
            close_fds=False, preexec_fn=places, env={**os.environ, "TZ": "UTC"},
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        os.close(ours[0])
        os.close(its[1])
        self._in, self._out = ours[1], its[0]
        self._buffer = b""
        self._number = 0
        self._session = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self.said = []  # what scripts did not catch, and their console
        self.asked = []  # each URL that a page wanted
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable")

    def close(self):
        self._session = None
        self._send("Browser.close")
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._log.close()

    def _send(self, method, **words):
        self._number += 1
        message = {"id": self._number, "method": method, "params": words}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")

    def _ask(self, method, **words):
        self._send(method, **words)
        number, end = self._number, time.monotonic() + ANSWER_S
        while True:
            message = self._next(end - time.monotonic())
            assert message, f"no answer to {method}"
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return message["result"]

    def _next(self, seconds):
        """The next message, or None; what is an event is noted as well."""
        while b"\0" not in self._buffer:
            if seconds <= 0 or not self._selector.select(seconds):
                return None
            part = os.read(self._out, 1 << 20)
            assert part, "Chromium has ended: see chromium.log"
            self._buffer += part
        one, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(one)
        words = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.said.append(words["exceptionDetails"]["exception"].get("description", "?"))
            case "Runtime.consoleAPICalled":
                self.said.append(" ".join(str(a.get("value")) for a in words["args"]))
            case "Log.entryAdded":
                self.said.append(words["entry"]["text"])
            case "Network.requestWillBeSent":
                self.asked.append(words["request"]["url"])
        return message

    def open(self, url, size=DESKTOP, dark=False, scripts=True, ready=None):
        """Waits until the expression `ready` is true in the page."""
        width, height = size
        self.said.clear()
        self.asked.clear()
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=size == PHONE)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._ask("Page.navigate", url=url)
        self.wait(f"document.readyState == 'complete' && ({ready or 'true'})")

    def wait(self, expression, seconds=ANSWER_S):
        end = time.monotonic() + seconds
        while not self.run(expression):
            assert time.monotonic() < end, f"not within {seconds} s: {expression}; {self.said}"
            self._next(0.1)

    def run(self, expression):
        """What it gives in the page, as JSON can say it."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True,
                          awaitPromise=True)  # fmt: skip
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def text(self):
        return self.run("document.body.innerText")

    def picture(self, path):
        """All of the page, also what is below the window."""
        size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        made = self._ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(made["data"]))

    def spoken(self):
        """[(role, name)] of what a screen reader is told."""
        nodes = self._ask("Accessibility.getFullAXTree")["nodes"]
        return [
            (n["role"]["value"], n.get("name", {}).get("value", ""))
            for n in nodes if not n["ignored"]
        ]  # fmt: skip
