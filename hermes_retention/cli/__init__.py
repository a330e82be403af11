"""The command line: ``main`` is the program, ``add_commands`` and ``run`` serve a sub-command of another one.

``entry`` and ``parsers`` import only argparse and what costs nothing at their top, so that ``--help`` is
quick; a command's module is imported when it runs. What must not live here: decisions.
"""

from hermes_retention.cli.main import main, run
from hermes_retention.cli.parsers import add_commands

__all__ = ["add_commands", "main", "run"]
