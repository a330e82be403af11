"""What would be forgotten, and the receipt for what was. Nothing here shows what anybody said.

What must not live here: removing.
"""

from __future__ import annotations

from typing import Any

from hermes_retention.actions.upkeep.forget import Receipt
from hermes_retention.actions.upkeep.targets import Preview, Target
from hermes_retention.cli.output.page import Column, Fit, Page, Style, Table
from hermes_retention.cli.output.words import files_counted
from hermes_retention.model.text import counted, printable
from hermes_retention.model.units import format_size, minute

_SHOWN = 30


def show_preview(page: Page, seen: Preview, *, skips_live: bool, every: bool) -> None:
    """The sessions, what there is of each and why it is meant; and what stands in the way."""
    if not seen.targets:
        page.line("Neither the store nor the archive has anything of that.", Style.WARNING)
        return
    columns = (
        Column("session", fit=Fit.NAME),
        Column("class"),
        Column("last activity"),
        Column("in the store", fit=Fit.WORDS),
        Column("archived", right=True),
        Column("why", fit=Fit.WORDS),
    )
    shown = seen.targets if every else seen.targets[:_SHOWN]
    page.table(Table(columns, [_row(target) for target in shown]))
    if len(shown) < len(seen.targets):
        page.line(f"  … and {len(seen.targets) - len(shown):,} more; -v lists them all")
    page.line(f"{counted(len(seen.targets), 'session')}.")
    if seen.unfinished:
        page.line(
            f"{counted(seen.unfinished, 'session')} of these an earlier run did not finish.", Style.WARNING
        )
    if seen.live:
        what = "left out" if skips_live else "in the way"
        page.line(
            f"{counted(len(seen.live), 'live session')} {what}: {printable(seen.in_use_by or '')}.",
            Style.WARNING,
        )
    page.line("Forgetting is final: no copy is kept, and nothing can put it back.", Style.WARNING)


def show_receipt(page: Page, receipt: Receipt) -> None:
    """What is gone, and what a person has to look after."""
    page.line(
        f"{counted(receipt.sessions, 'session')} forgotten: {counted(receipt.files, 'file')}, messages and "
        f"records of {receipt.rows_of:,}, archived copies of {receipt.archived:,}, "
        f"{counted(receipt.routes, 'route')}. Receipt: {receipt.sweep or 'none'}.",
        Style.GOOD if not receipt.errors else Style.NORMAL,
    )
    if receipt.left:
        page.line(f"{counted(len(receipt.left), 'live session')} left out.", Style.WARNING)
    if receipt.errors:
        page.line("Not everything could be removed. Running it again goes on with the rest.", Style.BAD)
    for name in receipt.besides:
        page.line(
            f"The host has something else that is named after one of them: {printable(name)}", Style.WARNING
        )


def preview_object(seen: Preview) -> dict[str, Any]:
    """What would go, as data."""
    return {
        "dry_run": True,
        "sessions": [
            {
                "session_id": printable(target.session_id),
                "class": target.session_class.value,
                "last_activity": target.last_activity,
                "why": target.why,
                "in_store": target.session is not None,
                "archived": target.archived_bytes,
                "live": None if target.live is None else printable(target.live),
            }
            for target in seen.targets
        ],
        "in_use_by": seen.in_use_by,
        "unfinished": seen.unfinished,
        "warnings": [printable(str(damage)) for damage in seen.damages],
    }


def receipt_object(receipt: Receipt, *, compacted: bool) -> dict[str, Any]:
    """The receipt as data."""
    return {
        "dry_run": False,
        "sweep": receipt.sweep,
        "sessions": receipt.sessions,
        "files": receipt.files,
        "rows_of": receipt.rows_of,
        "archived": receipt.archived,
        "routes": receipt.routes,
        "left": list(map(printable, receipt.left)),
        "free_pages_cleared": compacted,
        "besides": list(map(printable, receipt.besides)),
        "warnings": [printable(str(error)) for error in receipt.errors],
    }


def _row(target: Target) -> tuple[str, ...]:
    return (
        printable(target.session_id),
        target.session_class.value,
        minute(target.last_activity),
        _in_store(target),
        format_size(target.archived_bytes) if target.archived_bytes else "–",
        f"{target.why}; live" if target.live is not None else target.why,
    )


def _in_store(target: Target) -> str:
    session = target.session
    if session is None:
        return "–"
    parts = []
    if session.artifacts:
        parts.append(files_counted(artifact.kind for artifact in session.artifacts))
    if session.record is not None:
        parts.append("messages" if session.record.has_messages else "record")
    if session.routes:
        parts.append(counted(len(session.routes), "route"))
    return ", ".join(parts) or "–"
