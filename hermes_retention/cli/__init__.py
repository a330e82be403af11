"""The command line: ``main`` is the program, ``add_commands`` and ``run`` serve a sub-command of another one.

These modules import only argparse and what costs nothing at their top, so that ``--help`` is quick; those of
``commands`` are imported when they run. What must not live here: decisions.
"""

from hermes_retention.cli.main import add_commands, main, run

__all__ = ["add_commands", "main", "run"]
