"""``hold``: what a person wants kept, whatever the settings say."""

from __future__ import annotations

import argparse

from hermes_retention.actions.inspect.lookup import require, vault_ids
from hermes_retention.cli.context import Context
from hermes_retention.cli.output.page import Column, Fit, Style, Table
from hermes_retention.home.holds import Hold
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.text import printable, storable
from hermes_retention.model.units import minute


def add_hold(context: Context, arguments: argparse.Namespace) -> int:
    """Hold a session that the store or the vault has."""
    site = context.site
    archived = vault_ids(site)
    stored = {session.id for session in site.store.scan(now=context.clock()).sessions}
    session_id = require(
        arguments.session, stored | archived.ids, where="neither the store nor the archive has it"
    )
    # Under the lock: a sweep that runs has read the holds already and would not see this one.
    with site.workspace.locked():
        site.workspace.holds.add(session_id, Hold(storable(arguments.reason), context.clock()))
    context.page.line(
        f"{printable(session_id)} is held: no sweep touches it or its archived copy.", Style.GOOD
    )
    return ExitCode.DONE


def remove_hold(context: Context, arguments: argparse.Namespace) -> int:
    """Let go of a session."""
    site = context.site
    session_id = require(arguments.session, site.workspace.holds.load().keys(), where="it is not held")
    with site.workspace.locked():
        site.workspace.holds.remove(session_id)
    context.page.line(f"{printable(session_id)} is no longer held.", Style.GOOD)
    return ExitCode.DONE


def list_holds(context: Context, _arguments: argparse.Namespace) -> int:
    """Every hold, the oldest first."""
    holds = context.site.workspace.holds.load()
    if not holds:
        context.page.line("Nothing is held.")
        return ExitCode.DONE
    rows = [
        (printable(session_id), minute(hold.since), printable(hold.reason))
        for session_id, hold in sorted(holds.items(), key=lambda item: (item[1].since, item[0]))
    ]
    columns = (Column("session", fit=Fit.NAME), Column("since"), Column("reason", fit=Fit.WORDS))
    context.page.table(Table(columns, rows))
    return ExitCode.DONE


HANDLERS = {"hold add": add_hold, "hold remove": remove_hold, "hold list": list_holds}
