"""``hold``: what a person wants kept, whatever the settings say."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hermes_retention.cli.options import EXACT_ID, Command, Option
from hermes_retention.cli.output.page import Style, Table, titled
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import minute, storable

if TYPE_CHECKING:
    from hermes_retention.cli.context import Context

COMMAND = Command(
    "keep sessions from every sweep",
    examples="  %(prog)s add 20261120_101500_1a2b3c4d\n  %(prog)s list",
    below={
        "add": Command(
            "hold a session: no sweep touches it or its archived copy",
            examples='  %(prog)s 20261120_101500_1a2b3c4d --reason "tax audit"',
            options=(
                Option("session", metavar="SESSION", help=EXACT_ID),
                Option("--reason", metavar="TEXT", default="", help="why, for whoever asks later"),
            ),
        ),
        "remove": Command(
            "let go of a held session",
            examples="  %(prog)s 20261120_101500_1a2b3c4d",
            options=(Option("session", metavar="SESSION", help=EXACT_ID),),
        ),
        "list": Command("show what is held, since when and why"),
    },
)


def run_add(context: Context, arguments: argparse.Namespace) -> int:
    """Hold a session that the store or the vault has."""
    from hermes_retention.actions.inspect.lookup import require, vault_ids
    from hermes_retention.home.workspace import Hold

    home = context.home
    archived = vault_ids(home)
    stored = {session.id for session in home.store.scan(now=context.clock()).sessions}
    session_id = require(
        arguments.session, stored | archived.ids, where="neither the store nor the archive has it"
    )
    # Under the lock: a sweep that runs has read the holds already and would not see this one.
    with home.workspace.locked():
        home.workspace.holds.add(session_id, Hold(storable(arguments.reason), context.clock()))
    context.page.line(f"{session_id} is held: no sweep touches it or its archived copy.", Style.GOOD)
    return ExitCode.DONE


def run_remove(context: Context, arguments: argparse.Namespace) -> int:
    """Let go of a session."""
    from hermes_retention.actions.inspect.lookup import require

    home = context.home
    session_id = require(arguments.session, home.workspace.holds.load().keys(), where="it is not held")
    with home.workspace.locked():
        home.workspace.holds.remove(session_id)
    context.page.line(f"{session_id} is no longer held.", Style.GOOD)
    return ExitCode.DONE


def run_list(context: Context, _arguments: argparse.Namespace) -> int:
    """Every hold, the oldest first."""
    holds = context.home.workspace.holds.load()
    if not holds:
        context.page.line("Nothing is held.")
        return ExitCode.DONE
    rows = [
        (session_id, minute(hold.since), hold.reason)
        for session_id, hold in sorted(holds.items(), key=lambda item: (item[1].since, item[0]))
    ]
    columns = titled("~session", "since", "reason…")
    context.page.table(Table(columns, rows))
    return ExitCode.DONE
