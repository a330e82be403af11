"""The command line: ``main`` is the program, ``add_commands`` and ``run`` serve a sub-command of another one.

These modules and those of ``commands`` import only argparse and what costs nothing at their top, so that
``--help`` is quick; what a command needs it imports when it runs. What must not live here: decisions.
"""

from hermes_retention.cli.main import add_commands, main, run

__all__ = ["add_commands", "main", "run"]
