"""What ends a command: one line that says what is wrong and what to do next."""


class Refused(Exception):
    """The command was understood, and is refused (exit status 1)."""


class BadValue(Refused):
    """What was asked for makes no sense (exit status 2)."""
