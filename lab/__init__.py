"""The namespace lab: real daemons on real MicroPython, on one Linux host."""
