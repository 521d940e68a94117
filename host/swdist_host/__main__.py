import sys

from swdist_host.cli import main

if __name__ == "__main__":
    sys.exit(main())
