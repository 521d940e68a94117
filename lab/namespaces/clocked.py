"""A program of the device whose clock is wrong. Also runs on MicroPython:

python lab/clocked.py OFFSET_US PPM_MILLI (-m MODULE | lab/loopback.py -m MODULE ...) [FLAG...]

The system's clock seems shifted, the counter drifts by so many thousandths of a part per million.
"""

import sys

try:
    from swdist.shell import platform
except ImportError:  # the package has it in one file with others
    from swdist import core as platform


def wrong(offset_us, ppm_milli):
    class Clock(platform.Clock):
        def counter_us(self):
            raw = super().counter_us()
            return raw + raw * ppm_milli // 1000000000

        def wall_us(self):
            return super().wall_us() + offset_us

    return Clock


def main(offset_us, ppm_milli, how, *words):
    platform.Clock = wrong(int(offset_us), int(ppm_milli))
    if how == "-m":
        return __import__(words[0], None, None, ["main"]).main(list(words[1:]))
    sys.path.insert(0, how.rsplit("/", 1)[0])
    import loopback

    return loopback.main(*words[1:])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
