"""``python -m aiomultipart`` is the command line."""

import sys

from aiomultipart.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
