"""Every hook there is: what a gateway tells, and what others may add. ``docs/reference/hooks.md`` lists them.

A gateway fires the *lifecycle* hooks on a ``pluggy.PluginManager`` of project ``hermes_retention``; the
*extension* hooks are called by hermes-retention itself. Other packages register for both through the
entry-point group ``hermes_retention``. What must not live here: implementations, and anything heavy: this
module is imported by every process of a host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hermes_retention.model.session import Session
    from hermes_retention.policy.caps import Alert, Cap, CapAction
    from hermes_retention.policy.resume import ResumeCandidate, ResumePlan
    from hermes_retention.settings.load import Settings
    from hermes_retention.stores.base import StoreKind

PROJECT = "hermes_retention"
"""Name of the pluggy project, and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class Location:
    """Where an archived part of a session lies."""

    partition: Path
    """The file of the archive; see ``docs/explanation/vault.md`` for what is in it."""
    part: str
    """``files``, ``tool_output``, ``messages`` or ``record``."""


# -- lifecycle: fired by the gateway ------------------------------------------------------------------


@hookspec
def gateway_startup(home: Path, platforms: Sequence[str]) -> None:
    """The gateway is up.

    When: once, as soon as messages may come in. A second call changes nothing.
    Thread: any, the event loop too. Implementations return at once.
    """


@hookspec
def gateway_shutdown() -> None:
    """The gateway is about to end; nothing is fired after it.

    When: once, while the process can still wait a moment: at most 2 seconds.
    Thread: any but a worker's own.
    """


@hookspec
def session_reset(session_key: str, old_session_id: str, new_session_id: str, platform: str) -> None:
    """A chat goes on in a new session; nothing is written to the old one any more.

    When: after the route leads to the new session.
    Thread: any, the event loop too. Implementations return at once.
    """


@hookspec
def session_end(session_id: str, reason: str, platform: str) -> None:
    """A session is over: not a turn of it, and not because the gateway stops.

    When: after the host has noted the end.
    Thread: any, the event loop too. Implementations return at once.
    """


@hookspec
def turn_end(session_id: str, session_key: str, platform: str, usage: Mapping[str, float]) -> None:
    """A turn is over: the answer is stored, and the session waits for the next message.

    ``usage`` holds what the gateway counted in this turn, each only if it is known: ``input_tokens``,
    ``output_tokens``, ``cost_usd``, ``tool_calls``, ``messages``.
    When: after each turn, also one that failed or was stopped.
    Thread: any, often that of the turn. Implementations return at once.
    """


@hookspec
def cron_complete(job_id: str, session_id: str, succeeded: bool) -> None:  # noqa: FBT001 - a fact by name
    """A run of a scheduled job is over and its result delivered.

    When: as late as the host can tell. What is removed waits until the record has ended and nothing was
    written for ``MIN_AGE``.
    Thread: any. Implementations return at once.
    """


@hookspec(firstresult=True)
def plan_resume(candidates: Sequence[ResumeCandidate]) -> ResumePlan | None:
    """Which interrupted sessions to go on with. ``None`` leaves it to the next plugin, and to the gateway.

    When: once, before the gateway resumes anything and before its first message.
    Thread: any. It may take some tenths of a second, since settings are read.
    """


@hookspec(firstresult=True)
def session_over_cap(session_id: str, cap: Cap | None) -> CapAction | None:
    """What a gateway shall do about a session that has reached this cap; ``None`` is nothing.

    With ``None`` for the cap it is asked about any of them, and the strongest action is the answer. An answer
    says what to do, because of which cap, and what to tell the person: *stop* ends the turn with that text
    instead of a call of the model, *reset* lets the next message start a fresh session, *alert* is nothing
    to do.
    When: before each call of the model, or whenever the gateway wants to know.
    Thread: any, often that of the turn. Implementations return at once.
    """


# -- extension: called by hermes-retention -------------------------------------------------------------


@hookspec(firstresult=True)
def retention_hold(session: Session) -> str | None:
    """Why this session must stay, in a few words that people see; ``None`` when nothing speaks against it.

    A plugin that fails here keeps the session. Its answer is asked for again in every sweep; nothing is
    remembered. Of a session whose record has left, only id and class are known.
    When: in each sweep, preview and status, once for each session, before anything is decided.
    Thread: the one that sweeps; never the event loop. A million calls should not hurt: no disk, no network.
    """


@hookspec
def retention_stores(settings: Settings) -> Sequence[StoreKind] | None:
    """The layouts of homes that this plugin can serve; ``settings`` are those in effect for the home.

    The layouts that come with hermes-retention go first: a plugin is asked about a home only when none of
    them is in it, or when ``--store`` names what it offers. Their names cannot be taken, and of two plugins
    that offer the same name neither counts. A plugin that fails here costs a warning, and its layouts are
    left out.
    When: when such a home is opened: once in each command, and in a gateway before each sweep.
    Thread: the one that works on the home; never the event loop. Open nothing yet, and change nothing.
    """


@hookspec
def retention_alert(alert: Alert) -> None:
    """A session has come near a cap, or reached it.

    When: once for each session and cap, and whenever one stops a session. A plugin that fails here costs a
    warning.
    Thread: that of the caps; never the event loop. It may take a while, but holds up what other sessions
    would be told.
    """


@hookspec
def session_archived(session: Session, location: Location) -> None:
    """A part of a session went to the archive: its copy is committed and was read back, the original is gone.

    ``session`` is as it was when the sweep began. A plugin that fails here costs a warning.
    When: during a sweep, after each part. A sweep that was killed may have archived parts without telling.
    Thread: the one that sweeps; never the event loop. It may take a while, but holds up the sweep.
    """
