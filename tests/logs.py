"""A log that a test can read. Device code and MicroPython use it too."""


class Log:
    def __init__(self):
        self.lines = []

    def info(self, text):
        self.lines.append(text)

    error = warn = debug = info
