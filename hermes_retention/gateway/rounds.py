"""What the worker does for one home: it keeps the queue, and sweeps when something is due.

What must not live here: threads, and what a host can do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hermes_retention.gateway.worker import Stopping
from hermes_retention.pending import Pending
from hermes_retention.workspace import Workspace


class Rounds:
    """The work of one home."""

    def __init__(
        self, home: Path, *, environ: Mapping[str, str], clock: Callable[[], float], stopping: Stopping
    ) -> None:
        self._home, self._environ, self._clock, self._stopping = home, environ, clock, stopping

    def keep(self, lines: Sequence[Pending]) -> None:
        """Write these lines to the queue. Raises ``RetentionError``."""
        workspace = Workspace(self._home)
        workspace.check()
        workspace.create()
        with workspace.ledger() as ledger:
            ledger.queue.add(lines)

    def run_due(self) -> float | None:
        """Nothing yet."""
        return None
