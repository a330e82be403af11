"""``hold``: what a person wants kept, whatever the settings say."""

from __future__ import annotations

import argparse

from hermes_retention.actions.inspect.lookup import require, vault_ids
from hermes_retention.cli.context import Context
from hermes_retention.cli.output.page import Style, Table, titled
from hermes_retention.home.workspace import Hold
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import minute, storable


def run_add(context: Context, arguments: argparse.Namespace) -> int:
    """Hold a session that the store or the vault has."""
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
