"""``python -m hermes_retention`` is the same program as ``hermes-retention``."""

import sys

from hermes_retention.cli import main

if __name__ == "__main__":
    sys.exit(main())
