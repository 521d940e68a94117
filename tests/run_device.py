"""Runs the test functions of one file, on MicroPython or CPython: run_device.py FILE [NAME...].

Prints `ok NAME`, or `FAIL NAME` and a traceback, for each test_* function.
Exit status 0: all passed; 1: some failed, or the file can't be imported; 2: there are none.
"""

import sys

try:
    from traceback import print_exception
except ImportError:

    def print_exception(exception, file):
        sys.print_exception(exception, file)


def report(line, exception=None):
    print(line)
    if exception is not None:
        print_exception(exception, file=sys.stdout)
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()


def run(module, names):
    failed = 0
    for name in names:
        try:
            # A coroutine or a generator would pass without having run.
            if getattr(module, name)() is not None:
                raise TypeError("a test must return nothing")
            report("ok " + name)
        except KeyboardInterrupt:
            raise
        except BaseException as exception:  # also SystemExit: a test must not end the others
            failed += 1
            report("FAIL " + name, exception)
    return failed


def main(path, names):
    folder, _, file = path.rpartition("/")
    sys.path.insert(0, folder or ".")
    try:
        module = __import__(file[: -len(".py")])
    except KeyboardInterrupt:
        raise
    except BaseException as exception:
        report("can't import " + path, exception)
        return 1
    names = names or sorted(name for name in dir(module) if name.startswith("test_"))
    if not names:
        print("no tests in " + path)
        return 2
    return 1 if run(module, names) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
