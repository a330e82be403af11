"""Who hears how a sweep gets on: an observer of whoever runs it, and plugins of other packages.

What must not live here: output, and the sweep itself.
"""

from __future__ import annotations

from typing import Protocol

from hermes_retention.archive.vault import partition_name
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import Outcome
from hermes_retention.hookspecs import Location
from hermes_retention.model.plan import Action, Plan
from hermes_retention.model.session import Inventory, Session


class Observer(Protocol):
    """Who wants to know how a sweep gets on."""

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """The plan stands; ``plan.removals()`` will be carried out next."""

    def done(self, outcome: Outcome) -> None:
        """One more step was carried out, or failed."""


class Silent:
    """An observer that does nothing."""

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """Nothing to say."""

    def done(self, outcome: Outcome) -> None:
        """Nothing to say."""


class TellingPlugins:
    """An observer that also tells plugins what went to the archive."""

    def __init__(self, observer: Observer, site: Home, inventory: Inventory) -> None:
        self._observer, self._site = observer, site
        self._sessions: dict[str, Session] = {session.id: session for session in inventory.sessions}

    def planned(self, inventory: Inventory, plan: Plan) -> None:
        """Nothing to add."""
        self._observer.planned(inventory, plan)

    def done(self, outcome: Outcome) -> None:
        """Everything of the step is gone, and was archived: then plugins hear of it."""
        step = outcome.step
        session = self._sessions.get(step.session_id)
        if step.action is Action.ARCHIVE and not outcome.errors and not outcome.idle and session is not None:
            path = self._site.workspace.vault.partition_path(partition_name(step.last_activity))
            self._site.extensions.archived(session, Location(path, str(step.tier)))
        self._observer.done(outcome)
