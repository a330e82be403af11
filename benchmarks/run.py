"""``python benchmarks/run.py``: the figures of the README. ``--help`` shows what can be measured."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Last: an installed hermes_retention comes before the one beside this folder.
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from benchmarks.suite import main

    sys.exit(main())
