"""`python -m artstore`: the command line."""

import sys

from artstore.cli import main

if __name__ == "__main__":
    sys.exit(main())
