"""Draws the picture of the README: the output of ``hermes-retention demo`` on a terminal of 100 columns.

    python benchmarks/picture.py docs/img/demo.svg

The drawing is rich's own; only the reference to a font on another host is left out.
"""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

from rich.console import Console

from hermes_retention.cli.demo.tour import run_demo
from hermes_retention.cli.output.page import RichPage

COMMAND = "$ hermes-retention demo"


def draw() -> str:
    """The demo's output as SVG. Raises ``SystemExit`` when the demo fails: no picture of a failure."""
    console = Console(
        record=True,
        width=100,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    page = RichPage(console)
    page.line(COMMAND)
    if run_demo(page, clock=time.time) != 0:
        raise SystemExit("the demo failed: no picture")
    picture = console.export_svg(title="hermes-retention")
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw())
