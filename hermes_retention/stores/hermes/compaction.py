"""A smaller copy of the host's database, and the proof that it holds the same.

Everything here reads the database or writes files of our own; ``swap`` exchanges the two. What must not
live here: whether compacting is worth it, or safe just now.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from hermes_retention.disk import effects
from hermes_retention.model.errors import CompactionRefused, DatabaseInUse, StoreUnreadable
from hermes_retention.model.text import is_text
from hermes_retention.stores.hermes.state_db import BUSY_SECONDS, reading

_CACHE = "PRAGMA cache_size = -16000"  # kilobytes: memory stays bounded whatever the size of the database
_CARRIED = ("user_version", "application_id", "auto_vacuum", "page_size", "encoding")
"""Pragmas whose values the copy must have too. The journal mode is compared apart."""
_PROBES_FROM = ("", "g", "n", "t")
"""One search for the first indexed word from each of these on."""
_MATCHES = 500
_MERGED = ("_data", "_idx")
"""Tables of a full-text index that merging it rewrites; the index's own check covers them."""
_FULL_TEXT = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%USING FTS5%'"
NOTHING = "nothing was changed"


class Figures(msgspec.Struct, frozen=True):
    """How a database fills its file."""

    page_bytes: int
    pages: int
    free_pages: int
    tables: tuple[str, ...]
    indexes: tuple[str, ...]
    """Its full-text indexes."""

    @property
    def free_share(self) -> float:
        """How much of the file is free pages, from 0 to 1."""
        return self.free_pages / self.pages if self.pages else 0.0

    @property
    def used_bytes(self) -> int:
        """The most that a compacted copy can take."""
        return (self.pages - self.free_pages) * self.page_bytes


class Contents(msgspec.Struct, frozen=True):
    """What a copy must have in common with its original."""

    pragmas: dict[str, object]
    schema: list[tuple[object, ...]]
    rows: dict[str, int]
    violations: dict[tuple[object, ...], int]
    """Rows whose foreign key leads nowhere: the host makes some, and the copy keeps them."""
    matches: dict[tuple[str, str], list[int]]
    """Index and word → the ids that a search finds."""


def figures(path: Path) -> Figures | None:
    """How full the database is, ``None`` when there is none. Raises ``StoreUnreadable`` as all readers do."""
    with reading(path) as database:
        if database is None:
            return None
        listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = tuple(name for (name,) in listed)
        page_bytes, pages, free_pages = (
            int(str(pragma(database, name))) for name in ("page_size", "page_count", "freelist_count")
        )
        return Figures(page_bytes, pages, free_pages, tables, tuple(_indexes(database)))


@contextlib.contextmanager
def opened(path: Path, *, of: Path | None = None) -> Iterator[sqlite3.Connection]:
    """A database that exists, for reading and for what only SQLite itself writes to it.

    What SQLite complains about in the block is raised as ``as_error`` has it; ``of`` is the database that
    a file of ours was copied from, and the one that errors name.
    """
    address = f"file://{quote(bytes(path))}?mode=rw"
    try:
        with contextlib.closing(
            effects.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        ) as database:
            database.text_factory = lambda value: value.decode("utf-8", "surrogateescape")
            database.execute(_CACHE)
            yield database
    except sqlite3.Error as error:
        raise as_error(of or path, error) from error


def settle(database: sqlite3.Connection, path: Path) -> None:
    """Bring the write-ahead log into the file. Raises ``DatabaseInUse`` when somebody reads or writes."""
    busy, _, _ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise in_use(path, "another process reads or writes it")


def require_sound(database: sqlite3.Connection, path: Path) -> None:
    """Raise ``StoreUnreadable`` for a damaged database: a copy would lose what a repair may still find."""
    said = [str(line) for (line,) in database.execute("PRAGMA quick_check(3)")]
    if said != ["ok"]:
        raise _damaged(path, said[0])


def read_contents(database: sqlite3.Connection, like: Contents | None = None) -> Contents:
    """What the copy is compared by, of one moment. With ``like`` the same words are searched for."""
    database.execute("BEGIN")
    try:
        indexes = _indexes(database)
        if like is None:
            probes = [(index, word) for index in indexes for word in _words(database, index)]
        else:
            probes = list(like.matches)
        schema = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        return Contents(
            pragmas={name: pragma(database, name) for name in _CARRIED},
            schema=sorted(schema, key=repr),
            rows=_count_rows(database, indexes),
            violations=_violations(database),
            matches={probe: _search(database, *probe) for probe in probes},
        )
    finally:
        database.execute("COMMIT")


def copy_into(database: sqlite3.Connection, target: Path) -> None:
    """Write all that ``database`` holds into ``target``, an empty file, without free pages."""
    name = str(target)
    if is_text(name):
        database.execute("VACUUM INTO ?", (name,))
        return
    # Bytes become text as the database encodes it: where that is UTF-16, an odd one at the end is lost.
    database.execute("VACUUM INTO CAST(? AS TEXT)", (bytes(target),))


def merge_indexes(path: Path, *, of: Path) -> None:
    """Let every full-text index in this scratch copy drop what was deleted.

    Without this they keep the traces of deleted rows for long: more than half of the file after a large
    deletion. Nothing protects the file from a crash meanwhile.
    """
    with opened(path, of=of) as scratch:
        for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            scratch.execute(f"PRAGMA {setting}")
        for index in _indexes(scratch):
            _command(scratch, index, "optimize")


def prove_same(path: Path, contents: Contents, *, journal_mode: str, of: Path) -> None:
    """Compare the copy at ``path`` with its original, check all of it, and give it its journal mode.

    Raises ``CompactionRefused`` that names the first difference.
    """
    with opened(path, of=of) as copy:
        said = [str(line) for (line,) in copy.execute("PRAGMA integrity_check(3)")]
        if said != ["ok"]:
            raise _differs(path, f"its integrity check says {said[0]}")
        found = read_contents(copy, contents)
        for field in contents.__struct_fields__:
            if getattr(found, field) != getattr(contents, field):
                raise _differs(path, f"its {field} are not those of the original")
        for index in _indexes(copy):
            _command(copy, index, "integrity-check")
        (mode,) = copy.execute(f"PRAGMA journal_mode = {journal_mode}").fetchone()
        if mode != journal_mode:
            raise _differs(path, f"its journal mode is {mode}, not {journal_mode}")


def require_in_place(path: Path) -> None:
    """Raise ``RetentionError`` unless a sound database is found at ``path`` by its name."""
    with opened(path) as database:
        require_sound(database, path)


def in_use(path: Path, why: str) -> DatabaseInUse:
    """The error for a database that others work with."""
    return DatabaseInUse(
        str(path),
        why,
        consequence=NOTHING,
        cure="Stop the gateway and every other hermes process, then run it again.",
    )


def as_error(path: Path, error: sqlite3.Error) -> StoreUnreadable | DatabaseInUse | CompactionRefused:
    """What SQLite said, in the form that people read."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extension of extended codes
    said = str(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return in_use(path, f"another process has held its lock for {BUSY_SECONDS:.0f} s")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, said)
    cure = "Check the free space, the rights and the health of the disk."
    return CompactionRefused(str(path), f"SQLite gave up ({said})", consequence=NOTHING, cure=cure)


def _damaged(path: Path, said: str) -> StoreUnreadable:
    return StoreUnreadable(
        str(path),
        f"it is damaged ({said})",
        consequence=NOTHING,
        cure="Stop the host, then run `hermes sessions repair` or put a backup in its place.",
    )


def _differs(path: Path, how: str) -> CompactionRefused:
    return CompactionRefused(
        f"the compacted copy {path}",
        how,
        consequence="it was thrown away and the database not changed",
        cure="Please report this; `hermes sessions optimize` is another way.",
    )


def pragma(database: sqlite3.Connection, name: str) -> object:
    """The value of one of SQLite's pragmas."""
    (value,) = database.execute(f"PRAGMA {name}").fetchone()
    return value


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _indexes(database: sqlite3.Connection) -> list[str]:
    """The full-text indexes that this build of SQLite can use; it may lack FTS5 or a tokenizer."""
    usable = []
    for (name,) in database.execute(_FULL_TEXT).fetchall():
        with contextlib.suppress(sqlite3.OperationalError):
            database.execute(f"SELECT 1 FROM {_quoted(name)} LIMIT 0")  # noqa: S608 - a quoted name
            usable.append(name)
    return usable


def _command(database: sqlite3.Connection, index: str, command: str) -> None:
    """Give a command to a full-text index, in the way that FTS5 takes them."""
    name = _quoted(index)
    database.execute(f"INSERT INTO {name}({name}) VALUES (?)", (command,))  # noqa: S608 - a quoted name


def _words(database: sqlite3.Connection, index: str) -> list[str]:
    """A few words that are in the index, whatever its text comes from."""
    database.execute(f"CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, {_quoted(index)}, 'row')")
    try:
        query = "SELECT term FROM temp.words WHERE term >= ? LIMIT 1"
        found = [database.execute(query, (start,)).fetchone() for start in _PROBES_FROM]
    finally:
        database.execute("DROP TABLE temp.words")
    return sorted({row[0] for row in found if row is not None and "\0" not in row[0]})


def _search(database: sqlite3.Connection, index: str, word: str) -> list[int]:
    name = _quoted(index)
    query = f"SELECT rowid FROM {name} WHERE {name} MATCH ? ORDER BY rowid LIMIT ?"  # noqa: S608 - a quoted name
    return [rowid for (rowid,) in database.execute(query, (_quoted(word), _MATCHES))]


def _count_rows(database: sqlite3.Connection, indexes: list[str]) -> dict[str, int]:
    merged = {index + part for index in indexes for part in _MERGED}
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
    names = [name for (name,) in database.execute(query).fetchall() if name not in merged]
    return {
        name: database.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0]  # noqa: S608 - a quoted name
        for name in names
    }


def _violations(database: sqlite3.Connection) -> dict[tuple[object, ...], int]:
    """By table, parent and key; row numbers may differ between the two."""
    found: dict[tuple[object, ...], int] = {}
    for table, _, parent, key in database.execute("PRAGMA foreign_key_check"):
        found[table, parent, key] = found.get((table, parent, key), 0) + 1
    return found
