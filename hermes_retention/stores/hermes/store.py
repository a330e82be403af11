"""A Hermes Agent home as a ``Store``: directory, database and routes joined into sessions.

What must not live here: names and formats (``files``, ``ids``, ``records``, ``routing``), and decisions.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from hermes_retention.model.errors import Stop, StoreUnreadable, never
from hermes_retention.model.session import Lineage, Record, Route, Session, SessionClass
from hermes_retention.model.text import is_text, printable
from hermes_retention.stores.base import (
    Compactor,
    DatabaseSpace,
    EntryRestored,
    Finding,
    Folder,
    HostPrune,
    HostSetting,
    Level,
    LiveMessage,
    RouteIndex,
    Scan,
    SessionCounter,
    SessionMetadata,
    Store,
    StoreFiles,
)
from hermes_retention.stores.files import folder_files, require_home
from hermes_retention.stores.hermes import config, cron, erasing, files, pruning, state_db
from hermes_retention.stores.hermes.erasing import OfflineRoutes
from hermes_retention.stores.hermes.files import Classifier, cron_job
from hermes_retention.stores.hermes.records import Rows
from hermes_retention.stores.hermes.routing import Routing
from hermes_retention.stores.hermes.rows.read import HermesRowReader, message_texts
from hermes_retention.stores.hermes.rows.remove import HermesRowRemover
from hermes_retention.stores.hermes.rows.turn_machine import UseWatch
from hermes_retention.stores.rows import ArchivedRows, RowRestorer

_FOLDER = Folder((files.DIRECTORY,))


class HermesStore(Store):
    """The session storage below the home of a Hermes Agent, 0.13 and newer. ``restoring_rows`` writes."""

    name = "hermes"

    _writing: Callable[[Path], AbstractContextManager[sqlite3.Connection]] = staticmethod(state_db.writing)

    def __init__(self, home: Path) -> None:
        """``home`` may be a symbolic link; what is below it may not. It need not exist before ``scan``."""
        self._home = Path(os.path.realpath(home))  # Path.resolve() raises where links go in a circle
        self._database = self._home / state_db.DATABASE

    @property
    def home(self) -> Path:
        """The home, resolved."""
        return self._home

    @property
    def files_directory(self) -> Path:
        """Where the files of sessions lie. It may not exist yet."""
        return self._home / files.DIRECTORY

    def folders(self) -> Sequence[Folder]:
        """The one directory of session files."""
        return (_FOLDER,)

    def folder_of(self, session_id: str) -> Folder:
        """The same for every session."""
        return _FOLDER

    def moving_files(self, *aside: str) -> AbstractContextManager[StoreFiles]:
        """Open the files for one sweep; the lock of the home is held."""
        return folder_files(self._home, _FOLDER, *aside)

    def put_entries_back(self, entries: Mapping[str, bytes]) -> Mapping[str, EntryRestored]:
        """Nothing: routes of this host are not archived, it makes them anew."""
        return {}

    def offline_routes(self, clock: Callable[[], float]) -> RouteIndex:
        """The index of a home without a gateway. Does nothing while one runs."""
        return OfflineRoutes(self._home, clock)

    def scan(self, *, now: float) -> Scan:
        """As the port says. The host's files are not changed."""
        require_home(self._home, "HERMES_HOME; by default it is ~/.hermes")
        # In this order: a listed file has its row by the time rows are read, and a row its route after that.
        listing = files.list_directory(self._home)
        read = state_db.read(self._database, now=now)
        rows, table = read if read is not None else (Rows(), [])
        routing, elsewhere = self._routing(table)
        without_row = routing.routes.keys() - rows.records.keys()
        owned = files.assign_owners(
            listing.files, rows.records.keys() | without_row if without_row else rows.records.keys()
        )
        failures = cron.read_failures(self._home, rows.records)
        ids = [*rows.records, *((owned.by_session.keys() | without_row - elsewhere) - rows.records.keys())]
        ids.sort()
        warnings = [*rows.warnings, *routing.warnings, *failures.warnings]
        if owned.by_session and not rows.has_table:
            why = "does not exist" if read is None else "has no table of sessions"
            warnings.insert(0, self._without_rows(why))
        assembly = _Assembly(rows, routing, owned.by_session, failures)
        sessions = tuple(map(assembly.session, ids))
        return Scan(
            sessions=sessions,
            unknown=tuple(sorted((*listing.unknown, *owned.unknown), key=lambda unknown: unknown.name)),
            other_bytes=listing.other_bytes,
            warnings=tuple(warnings),
            database_bytes=0 if (space := self.database_space()) is None else space.used_bytes,
            pins=rows.pins,
            marks=rows.marks,
            strange_sources=assembly.strange_sources(sessions),
        )

    def metadata(self, session_ids: Sequence[str]) -> dict[str, SessionMetadata]:
        """What their records say. Raises ``StoreUnreadable`` when the database cannot be read."""
        return state_db.read_metadata(self._database, session_ids)

    @contextmanager
    def reading_rows(self) -> Iterator[HermesRowReader]:
        """Read rows, with a write-ahead log of one moment: it grows as long as this is open, so be short."""
        with state_db.reading_briefly(self._database) as database:
            if database is None:
                raise state_db.no_database(self._database)
            yield HermesRowReader(self._database, database, lambda rows: self._routed(database, rows))

    @contextmanager
    def removing_rows(self, stop: Stop = never) -> Iterator[HermesRowRemover]:
        """Change rows, from one thread, until ``stop``. Raises ``StoreUnreadable``."""
        with self._writing(self._database) as database:
            watch = UseWatch(database, lambda: self._all_routes(database), self._routed_in())
            yield HermesRowRemover(self._database, database, watch, stop)

    def _all_routes(self, database: sqlite3.Connection) -> dict[str, dict[str, float | None]]:
        routing, _ = self._routing(state_db.routes_of(database, self._database))
        return routing.routes

    def _routed_in(self) -> list[Path]:
        """The files beside our database that tell of routes, with the log that is written before one."""
        directories = [self.files_directory, config.other_sessions_directory(self._home)]
        databases: list[Path] = []
        for above in config.served_together(self._home)[1:]:
            directories.append(above / files.DIRECTORY)
            databases = [above / state_db.DATABASE, above / f"{state_db.DATABASE}-wal"]
        return [*databases, *(directory / files.INDEX for directory in directories if directory is not None)]

    def _routed(self, database: sqlite3.Connection, rows: Rows) -> dict[str, frozenset[str]]:
        """The keys that lead to these sessions now, or may: what ``_Assembly`` would say of them."""
        routing, _ = self._routing(state_db.routes_of(database, self._database))
        classifier = Classifier(routing.platforms)
        found = {}
        for session_id, record in rows.records.items():
            key = rows.keys.get(session_id)
            routes = routing.routes_to(session_id)
            if not routes and routing.doubtful:
                kind = classifier.of_record(session_id, record, key)
                routes = routing.possible_route(record, key, kind)
            found[session_id] = frozenset(route.key for route in routes)
        return found

    def host_warnings(self) -> list[str]:
        """Settings of the host that work against retention, each with its cure, one line each."""
        return config.warnings_about(self._home)

    def host_prune(self, *, until: float) -> HostPrune | None:
        """What the host deletes by itself until then. Raises ``StoreUnreadable`` when rows cannot be read."""
        prune = config.prune_of(self._home)
        return None if prune is None else pruning.look(self._home, prune, until=until)

    def host_settings(self) -> list[HostSetting]:
        """Those of the host's own settings that matter; empty when ``config.yaml`` cannot be read."""
        return [*config.settings_of(self._home), *self._journal_setting()]

    def _journal_setting(self) -> Iterator[HostSetting]:
        """What decides how readers and writers of the database get along."""
        try:
            found = state_db.circumstances(self._database)
        except StoreUnreadable:  # whoever reads the sessions says so
            return
        if found is not None:
            mode, where = found
            yield HostSetting("state.db: journal_mode", mode, state_db.WAL, where)

    def restoring_rows(self) -> AbstractContextManager[RowRestorer]:
        """For putting archived rows back into ``state.db``. Raises ``StoreUnreadable`` as the port says."""
        from hermes_retention.stores.hermes.rows import restore

        return restore.restoring(self._database)

    def joined_rows(self, versions: Sequence[ArchivedRows]) -> Iterator[bytes]:
        """Versions of one kind of one session as one. Touches no database. Raises ``VaultDamaged``."""
        from hermes_retention.stores.hermes.rows import restore

        return restore.joined(versions)

    def message_texts(self, run: str) -> Iterator[LiveMessage]:
        """The messages that may hold ``run``, newest first. Raises ``StoreUnreadable``."""
        return message_texts(self._database, run)

    def checkup(self) -> Iterator[Finding]:
        """How the host of this home is set up. Reads only, raises nothing."""
        yield from config.checkup(self._home)
        for setting in self._journal_setting():
            what = f"state.db: journal mode {setting.value}, {setting.why}"
            yield Finding("database", Level.GOOD, what)

    def counter(self) -> SessionCounter:
        """For looking at single sessions while they grow. Opens nothing yet."""
        from hermes_retention.stores.hermes.counts import HermesCounter

        return HermesCounter(self._home)

    def group_of(self, session_id: str) -> str | None:
        """The job that a session ran for, as its id names it."""
        return cron_job(session_id)

    def compactor(self, environ: Mapping[str, str]) -> Compactor:
        """For making ``state.db`` smaller. Opens nothing yet."""
        from hermes_retention.stores.hermes.compactor import (
            HermesCompactor,  # a sweep never does this
        )

        return HermesCompactor(self._database, environ)

    def erasing(self) -> HermesStore:
        """The same store; rows that are removed through it are overwritten as well."""
        return _Erasing(self._home)

    def in_use_by(self) -> str | None:
        """The gateway, or another process that has the database open; ``None`` when there is neither."""
        return erasing.in_use_by(self._home)

    def drop_routes_to(self, session_ids: Collection[str]) -> int:
        """Remove every route of this home to these sessions. Raises ``StoreUnreadable``."""
        return erasing.drop_routes_to(self._home, session_ids)

    def wipe(self) -> None:
        """Clear what search tables and the log still hold of removed rows. Raises ``StoreUnreadable``."""
        erasing.wipe(self._database)

    def named_after(self, session_ids: Collection[str]) -> list[str]:
        """Files and directories beside the sessions that are named after one of these."""
        return erasing.named_after(self._home, session_ids)

    def database_space(self) -> DatabaseSpace | None:
        """How full ``state.db`` is; ``None`` without one. Raises ``StoreUnreadable``."""
        return state_db.read_space(self._database)

    def _routing(self, rows: Sequence[state_db.RouteRow]) -> tuple[Routing, set[str]]:
        """All routes, and the ids that have some in another home. The host believes the later source."""
        routing = Routing()
        for above in config.served_together(self._home)[1:]:
            # One gateway may serve many profiles: its index lies in the home above, the files in this one.
            routing.add_index(above / files.DIRECTORY / files.INDEX)
            database = above / state_db.DATABASE
            routing.add_table(database, [(key, entry) for _, key, entry in state_db.read_routes(database)])
        elsewhere = set(routing.routes)
        scope = self.files_directory
        routing.add_index(scope / files.INDEX)
        other = config.other_sessions_directory(self._home)
        if other is not None:
            routing.add_index(other / files.INDEX)
            scope = other
        # A row of another scope counts as well: it may be this home under the name of another mount.
        ordered = sorted(rows, key=lambda row: row[0] == str(scope))
        routing.add_table(self._database, [(key, entry) for _, key, entry in ordered])
        routing.settle_doubts()
        return routing, elsewhere

    def _without_rows(self, why: str) -> str:
        database = printable(str(self._database))
        consequence = "sessions are known by files and routes alone; files without a route are orphans"
        return f"{database} {why}: {consequence}. If this is not the home you mean, name it with --home."


class _Erasing(HermesStore):
    """The store for whoever forgets."""

    _writing = staticmethod(state_db.erasing)


def _unclear(record: Record | None) -> Record:
    """A record that keeps its session in the store: neither vault nor ledger can take its id."""
    record = record if record is not None else Record(source="", started_at=0.0)
    return msgspec.structs.replace(record, busy=record.busy or "unclear record: its id is no valid text")


class _Assembly:
    """Joins what the sources say about one session. Called once per session: no work twice."""

    def __init__(
        self, rows: Rows, routing: Routing, artifacts: files.FilesBySession, failures: cron.Failures
    ) -> None:
        self._records, self._keys, self._users = rows.records, rows.keys, rows.users
        self._routing, self._routed = routing, routing.routes.keys()
        self._artifacts = artifacts
        self._failures = failures
        self._classifier = Classifier(routing.platforms)

    def session(self, session_id: str) -> Session:
        """Everything that the store knows of ``session_id``."""
        record = self._records.get(session_id)
        if not is_text(session_id):
            record = _unclear(record)
        key = self._keys.get(session_id)
        routes = self._routing.routes_to(session_id) if session_id in self._routed else ()
        if record is not None:
            kind = self._classifier.of_record(session_id, record, key)
        elif routes:
            kind = self._classifier.of_routed(session_id, routes)
        else:
            kind = self._classifier.of_orphan(session_id)
        successor = None
        if not routes:
            if self._routing.doubtful:
                routes = self._routing.possible_route(record, key, kind)
            successor = None if key is None else self._routing.current.get(key)
        group, failed = None, False
        if kind is SessionClass.CRON:
            group, failed = self._run(session_id, record)
        if group is None:
            group = self._series(session_id, kind, key, routes)
        artifacts = files.take(self._artifacts, session_id)
        return Session(session_id, kind, artifacts, record, routes, successor, group, failed)

    def strange_sources(self, sessions: Iterable[Session]) -> dict[str, int]:
        """The sources that no class is known for, with how many of these sessions have each."""
        others = (
            one.record.source for one in sessions if one.session_class is SessionClass.OTHER and one.record
        )
        return dict(Counter(source for source in others if not self._classifier.knows(source)))

    def _run(self, session_id: str, record: Record | None) -> tuple[str | None, bool]:
        """The job that a session ran for, if any, and whether that run failed."""
        if record is not None and record.lineage is Lineage.COMPRESSION:
            session_id, record = self._first_of_run(session_id, record)
        job = cron_job(session_id)
        if job is None or record is None:
            return job, False
        failed = record.ended_at is None or self._failures.includes(session_id, job, record.started_at)
        return sys.intern(job), failed

    def _first_of_run(self, session_id: str, record: Record) -> tuple[str, Record]:
        """The session with which a run began: compression continues it, and the host ends only the first."""
        seen = {session_id}
        while record.lineage is Lineage.COMPRESSION and record.parent_id is not None:
            parent = self._records.get(record.parent_id)
            if parent is None or record.parent_id in seen:  # a circle: no host writes one
                break
            session_id, record = record.parent_id, parent
            seen.add(session_id)
        return session_id, record

    def _series(
        self, session_id: str, kind: SessionClass, key: str | None, routes: tuple[Route, ...]
    ) -> str | None:
        """What ``keep_last`` counts in: the chat, or for hooks, whose keys are used once, their sender."""
        record, user = self._records.get(session_id), self._users.get(session_id)
        sender = None if record is None or user is None else sys.intern(f"{record.source}:{user}")
        if kind is SessionClass.HOOK and sender is not None:
            return sender
        return key or (routes[0].key if routes else sender)
