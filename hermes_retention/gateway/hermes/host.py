"""What a running Hermes gateway can do for us, through its own objects and under its own locks.

The host offers no public way to most of this; what is used exists in every version from 0.13 to 0.19, and
``tests/hermes`` runs it on each. What must not live here: what should be dropped, resumed or told.
"""

from __future__ import annotations

import asyncio
import importlib.util
from typing import TYPE_CHECKING, Any

from hermes_retention.policy.resume import ResumeCandidate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_SETTLE_SECONDS = 60.0
"""A route used this lately leads to a live session, whatever was known of it before."""
_TELL_SECONDS = 20.0
_MOST_READ = 50
"""Transcripts that are read to see whether they can be; of more sessions the newest count."""

Entry = Any
"""The host's ``SessionEntry``."""
Store = Any
"""The host's ``SessionStore``."""


class HermesHost:
    """Implements ``HostGateway``. Without a gateway in this process nothing can be done, and it says so."""

    def __init__(self, home: Path, runner: Callable[[], object | None], clock: Callable[[], float]) -> None:
        self._home, self._runner, self._clock = home, runner, clock

    def platforms(self) -> list[str]:
        """Names of the platforms that are connected."""
        adapters = getattr(self._runner(), "adapters", None) or {}
        return [_text(platform) for platform in list(adapters)]

    def key_of(self, session_id: str) -> str:
        """The route that leads to this session; empty when there is none."""
        store = self._store()
        entries = {} if store is None else store._entries.copy()
        return next((str(key) for key, entry in entries.items() if entry.session_id == session_id), "")

    def drop_routes(self, routes: Mapping[str, str]) -> list[str]:
        """Forget the routes (key → session id) that still lead there and have been quiet; those forgotten.

        The host's own lock is held while they are looked at and taken out, so that no message gets between.
        """
        store, runner = self._store(), self._runner()
        if store is None or not routes:
            return []
        with store._lock:
            store._ensure_loaded_locked()
            dropped = [
                key for key, session_id in routes.items() if self._may_drop(runner, store, key, session_id)
            ]
            for key in dropped:
                del store._entries[key]
            if dropped and not hasattr(store, "_save_entries"):
                store._save()
        if dropped and hasattr(store, "_save_entries"):
            store._save_entries()  # since 0.19 the host writes its index without the lock that messages need
        return dropped

    def clear_resume_marks(self, session_ids: Sequence[str]) -> list[str]:
        """Take the mark off these sessions that makes the host resume them; returns those that had it."""
        store = self._store()
        if store is None:
            return []
        keys = {entry.session_id: key for key, entry in _loaded(store).items()}
        return [name for name in session_ids if name in keys and store.clear_resume_pending(keys[name])]

    def suspend(self, session_id: str) -> bool:
        """Let the next message start a fresh session; the running turn finishes."""
        store, key = self._store(), self.key_of(session_id)
        return bool(store is not None and key and store.suspend_session(key))

    def can_stop(self) -> bool:
        """Hosts since 0.17 ask before each call of the model."""
        try:
            return importlib.util.find_spec("hermes_cli.middleware") is not None
        except ModuleNotFoundError:  # no host at all
            return False

    def tell(self, session_id: str, text: str) -> bool:
        """Say something in the chat of this session."""
        runner: Any = self._runner()
        loop = getattr(runner, "_gateway_loop", None)
        origin: Any = getattr(self._entry_of(session_id), "origin", None)
        adapter = None if origin is None else runner.adapters.get(origin.platform)
        if adapter is None or loop is None:
            return False
        thread = getattr(origin, "thread_id", None)
        metadata = {"thread_id": thread} if thread else None
        sending = adapter.send(origin.chat_id, text, metadata=metadata)
        result = asyncio.run_coroutine_threadsafe(sending, loop).result(_TELL_SECONDS)
        return bool(getattr(result, "success", True))

    def resume_candidates(self) -> list[ResumeCandidate]:
        """The sessions that the host would go on with, newest first."""
        store = self._store()
        entries = [] if store is None else list(_loaded(store).values())
        marked = [
            entry for entry in entries if getattr(entry, "resume_pending", False) and not entry.suspended
        ]
        marked.sort(key=_last_used, reverse=True)
        dumps = self._newest_dumps(marked)
        return [
            ResumeCandidate(
                session_id=entry.session_id,
                session_key=entry.session_key,
                last_activity=_last_used(entry),
                ended_in_error=dumps.get(entry.session_id, 0.0) >= _last_used(entry) > 0,
                readable=place >= _MOST_READ or _is_readable(store, entry.session_id),
            )
            for place, entry in enumerate(marked)
        ]

    def _newest_dumps(self, entries: Sequence[Entry]) -> dict[str, float]:
        """Session id → when the host last wrote down a request of it that the model refused."""
        if not entries:
            return {}
        from hermes_retention.model.session import ArtifactKind
        from hermes_retention.model.text import safe_name
        from hermes_retention.stores.hermes.files import list_directory, take

        files = list_directory(self._home).files
        return {
            entry.session_id: artifact.mtime_ns / 1e9
            for entry in entries
            for part in {entry.session_id, safe_name(entry.session_id)}
            for artifact in sorted(take(files, part), key=lambda artifact: artifact.mtime_ns)
            if artifact.kind is ArtifactKind.REQUEST_DUMP
        }

    def _may_drop(self, runner: Any, store: Store, key: str, session_id: str) -> bool:  # noqa: ANN401 - the host's
        entry = store._entries.get(key)
        if entry is None or entry.session_id != session_id:
            return False
        if entry.suspended or getattr(entry, "resume_pending", False):
            return False  # the host has plans with it
        last_used = _last_used(entry)
        is_quiet = last_used > 0 and self._clock() - last_used >= _SETTLE_SECONDS
        return is_quiet and key not in runner._running_agents and not _has_processes(store, key)

    def _entry_of(self, session_id: str) -> Entry | None:
        store = self._store()
        entries: Iterable[Entry] = () if store is None else store._entries.copy().values()
        return next((entry for entry in entries if entry.session_id == session_id), None)

    def _store(self) -> Store | None:
        return getattr(self._runner(), "session_store", None)


def _loaded(store: Store) -> dict[str, Entry]:
    """All routes of one moment."""
    store._ensure_loaded()
    return dict(store._entries.copy())


def _last_used(entry: Entry) -> float:
    """Unix seconds; 0.0 when nobody knows."""
    try:
        return float(entry.updated_at.timestamp())
    except (AttributeError, OverflowError, OSError, ValueError):
        return 0.0


def _has_processes(store: Store, key: str) -> bool:
    """Whether something that the session started still runs; yes when nobody can tell, as the host has it."""
    is_active = getattr(store, "_has_active_processes_fn", None)
    try:
        return is_active is not None and bool(is_active(key))
    except Exception:  # noqa: BLE001 - see above
        return True


def _is_readable(store: Store, session_id: str) -> bool:
    try:
        return bool(store.load_transcript(session_id))
    except Exception:  # noqa: BLE001 - whatever it is, the host would meet it too
        return False


def _text(platform: object) -> str:
    return str(getattr(platform, "value", platform))
