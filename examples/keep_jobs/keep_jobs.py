"""A plugin for hermes-retention: every run of some cron jobs stays, whatever the settings say.

    pip install examples/keep_jobs
    KEEP_JOBS=invoices,payroll hermes-retention sweep --dry-run

It is found by its entry point (``pyproject.toml``). ``retention_hold`` is called for each session in each
sweep, so it only looks at what it is given.
"""

from __future__ import annotations

import os

from hermes_retention.api import Session, SessionClass, hookimpl


@hookimpl
def retention_hold(session: Session) -> str | None:
    """The reason, which ``explain`` shows; ``None`` for sessions that are none of our business."""
    jobs = os.environ.get("KEEP_JOBS", "").split(",")
    if session.session_class is SessionClass.CRON and session.group in jobs:
        return f"runs of {session.group} are kept for ten years"
    return None
