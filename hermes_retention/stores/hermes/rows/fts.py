"""Full-text tables of the host: what merging the next write would set off, done in small pieces before.

FTS5 appends a segment per write and merges segments of a level once there are four, but only in the
transaction whose pages fill up the next 64, and then up to 64 pages for every level: after the host's
``optimize`` there are some 25 levels, and 100 to 270 ms of merging fall into one of our transactions, or one
of the host's. So after each turn the ``merge`` command does what is due in pieces of a few milliseconds, and
a turn that could bring a fourth segment is kept from filling up those 64 pages. No setting is changed:
``merge`` is what FTS5 offers for this. The counters are read from the structure record; one that cannot be
understood only costs the steering. What must not live here: triggers, settings, and the texts that are
searched.
"""

from __future__ import annotations

import sqlite3

import msgspec

from hermes_retention.model.errors import Stop, never
from hermes_retention.stores.hermes.rows.pacing import Pace, Turns
from hermes_retention.stores.hermes.rows.tables import MESSAGES, quoted

# What FTS5 itself does (fts5_index.c).
_WORK_UNIT_PAGES = 64
"""It looks for merges once that many more pages are written, and then merges up to as many for each level."""
_MERGE_AT_SEGMENTS = 4
"""It merges a level that has as many segments."""
_STRUCTURE_ROWID = 10
"""Where in the table of pages the structure record lies."""
_VERSION_2 = b"\xff\x00\x00\x01"
"""What the record begins with, after four bytes, where segments carry counters of removed entries."""
_FIELDS_OF_A_SEGMENT, _FIELDS_IN_VERSION_2 = 3, 8
_VARINT_BYTES = 9
"""The longest. Its last byte has eight bits of the number, each other byte seven."""
_NOTHING_TO_MERGE = 2
"""A ``merge`` command that changes fewer rows than these found nothing to do: its documentation says so."""

# What we make of it.
_MARGIN = 1.4
"""A turn may write this many times more pages than the last ones let expect."""
_MOST_PAGES = 128
_RESERVE_PAGES = 16
"""What the turn after the next one may need, when it has to take a single long row."""
_PAGES_OF_A_MESSAGE = 2
"""What somebody else's message may write in between."""
_MOST_RESTARTS = 3


class Structure(msgspec.Struct, frozen=True):
    """The state of a full-text index: pages written since it was made, and its levels."""

    written_pages: int
    segments: tuple[int, ...]
    merging_segments: int
    """How many segments a merge is at that was begun, the largest of them; 0 when there is none."""

    @property
    def merging(self) -> bool:
        """Whether a merge was begun and goes on with the next piece."""
        return self.merging_segments > 0

    @property
    def is_merge_due(self) -> bool:
        """Whether ``merge`` would find something to do."""
        return self.merging or any(number >= _MERGE_AT_SEGMENTS for number in self.segments)

    @property
    def would_merge(self) -> bool:
        """Whether one more segment makes a merge due."""
        return self.is_merge_due or (bool(self.segments) and self.segments[0] >= _MERGE_AT_SEGMENTS - 1)

    @property
    def is_next_critical(self) -> bool:
        """Whether one more segment makes ``would_merge`` true."""
        return bool(self.segments) and self.segments[0] >= _MERGE_AT_SEGMENTS - 2

    def with_more(self, segments: int) -> Structure:
        """What it is after others have written so many segments."""
        newest, *others = self.segments or (0,)
        return msgspec.structs.replace(self, segments=(newest + segments, *others))

    @property
    def pages_left(self) -> int:
        """How many pages can be written before FTS5 looks for merges."""
        return _WORK_UNIT_PAGES - 1 - self.written_pages % _WORK_UNIT_PAGES


def parse_structure(block: bytes) -> Structure | None:
    """The structure record of FTS5 in either of its forms (see ``fts5_index.c``), else ``None``."""
    try:
        return _parse(block)
    except IndexError:
        return None


def _parse(block: bytes) -> Structure | None:
    # Four bytes of a cookie; in the newer form four more; then numbers: of levels, of segments (the sum of
    # what follows), of pages written so far; and for each level how many segments a merge is at, how many it
    # has, and for each of these its fields, which tell where its pages lie.
    newer = block[4:8] == _VERSION_2
    at = 8 if newer else 4
    levels, at = _varint(block, at)
    _, at = _varint(block, at)
    written, at = _varint(block, at)
    segments, merging = [], 0
    for _ in range(levels):
        merged, at = _varint(block, at)
        number, at = _varint(block, at)
        merging = max(merging, merged)
        segments.append(number)
        for _ in range(number * (_FIELDS_IN_VERSION_2 if newer else _FIELDS_OF_A_SEGMENT)):
            _, at = _varint(block, at)
    # A record that goes on after that is of a form that nobody here knows.
    return Structure(written, tuple(segments), merging) if at == len(block) else None


def _varint(block: bytes, at: int) -> tuple[int, int]:
    """The number that begins at ``at``, and where the next one does."""
    value = 0
    for position in range(at, at + _VARINT_BYTES - 1):
        byte = block[position]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follows
            return value, position + 1
    return value << 8 | block[at + _VARINT_BYTES - 1], at + _VARINT_BYTES


class SearchTable:
    """One full-text table."""

    def __init__(self, database: sqlite3.Connection, table: str) -> None:
        self._database, self.table = database, table
        self._merge = f"INSERT INTO {quoted(table)}({quoted(table)}, rank) VALUES('merge', ?)"
        self._pages_per_byte = 1e-3
        self._written: int | None = None
        self._pace = Pace(start=32, least=4, most=_MOST_PAGES)

    def structure(self) -> Structure | None:
        """Read the counters; ``None`` when they cannot be read or understood."""
        query = f"SELECT block FROM {quoted(self.table + '_data')} WHERE id = {_STRUCTURE_ROWID}"  # noqa: S608 - quoted
        try:
            found = self._database.execute(query).fetchone()
        except sqlite3.OperationalError:
            return None
        return parse_structure(found[0]) if found and isinstance(found[0], bytes) else None

    def limit(self, budget: int, *, between: int = 0) -> int:
        """How much of ``budget`` (bytes of rows) the next turn can do without setting off a merge.

        ``between`` is how many segments of others may come in before that turn begins.
        """
        structure = self.structure()
        self._written = None if structure is None else structure.written_pages
        if structure is None:
            return budget
        structure = structure.with_more(between)
        room = structure.pages_left - 1 - between * _PAGES_OF_A_MESSAGE
        if structure.would_merge:
            # The turn brings the fourth segment: it must end before FTS5 looks for what to merge.
            return self._within(budget, room)
        if not structure.is_next_critical or room < budget * self._pages_per_byte:
            # Nothing to merge in this turn, nor in the next one; or this turn writes those pages to their
            # end, FTS5 looks and finds nothing, and the next turn has another 64.
            return budget
        # The turn after this one brings the fourth segment. Leave it room for at least a long row.
        room -= _RESERVE_PAGES
        # Without that much room it is better to write to the end now, while there is nothing to merge.
        return self._within(budget, room) if room > 0 else budget

    def _within(self, budget: int, pages: int) -> int:
        """As much of ``budget`` as writes no more than so many pages."""
        return min(budget, int(pages / (self._pages_per_byte * _MARGIN)))

    def learn(self, weight: int) -> None:
        """Note how many pages the turn wrote since ``limit`` was asked, for ``weight`` bytes of rows."""
        structure = self.structure()
        if structure is None or self._written is None:
            return
        pages = structure.written_pages - self._written
        if pages > 0 and weight > 0:
            self._pages_per_byte = 0.7 * self._pages_per_byte + 0.3 * pages / weight

    def settle(self, turns: Turns) -> None:
        """Do the merges that are due, in turns of their own. Nothing is lost when this is interrupted."""
        while (structure := self.structure()) is not None and structure.is_merge_due:
            pages = self._pace.budget
            if not self._merge_some(turns, pages):
                return
            after = self.structure()
            # A piece that came to its end early, and was quick, says nothing of how long so many pages take.
            if (after is not None and after.is_merge_due) or turns.work_seconds > self._pace.budget * 1e-3:
                self._pace.learn(pages, turns.work_seconds)

    def condense(self, turns: Turns, stop: Stop = never) -> bool:
        """Merge everything, so that what was removed gives its pages back, in turns of their own.

        Returns whether that came to its end, and not to a stop before one of the turns. Nothing is lost when
        this is interrupted.
        """
        # FTS5 notes a removal beside the entry that it takes back, and only a merge of both frees their
        # pages: all segments have to become one.
        restarts = 0
        while (structure := self.structure()) is not None and sum(structure.segments) > 1:
            if stop():
                return False
            # A negative number asks for all segments at once, whatever their levels; positive ones go on with
            # the merge that is at as many segments as FTS5 takes for one. Asking for all again would begin
            # anew.
            goes_on = structure.merging_segments >= _MERGE_AT_SEGMENTS
            restarts += not goes_on and turns.contended
            if restarts > _MOST_RESTARTS:
                # Every restart beside a writer adds a level, and levels make the host's merges longer.
                return True
            pages = self._pace.budget
            if not self._merge_some(turns, pages if goes_on else -pages):
                return True
            self._pace.learn(pages, turns.work_seconds)
        return True

    def _merge_some(self, turns: Turns, pages: int) -> bool:
        """One turn of merging; returns whether there was anything to merge."""
        before = self._database.total_changes
        with turns.turn():
            self._database.execute(self._merge, (pages,))
        return self._database.total_changes - before >= _NOTHING_TO_MERGE


class SearchTables:
    """All full-text tables that the triggers of ``messages`` write to."""

    def __init__(self, database: sqlite3.Connection) -> None:
        names = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%fts5%'"
        )
        triggers = database.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (MESSAGES,)
        )
        written = "\n".join(sql for (sql,) in triggers.fetchall() if sql)
        self._tables = [SearchTable(database, name) for (name,) in names.fetchall() if name in written]

    def limit(self, budget: int, turns: Turns) -> int:
        """How much of ``budget`` the next turn should do; may be less than a single row.

        While another process writes, one write of it may come between this look and the turn.
        """
        between = int(turns.contended)
        return min([budget, *(table.limit(budget, between=between) for table in self._tables)])

    def settle(self, turns: Turns, weight: int) -> None:
        """After a turn of ``weight`` bytes of rows: learn from it and do the merges that are due."""
        for table in self._tables:
            table.learn(weight)
        for table in self._tables:
            table.settle(turns)

    def condense(self, turns: Turns, stop: Stop = never) -> bool:
        """Give back the pages of what was removed, and say whether that came to its end.

        Takes about as long as reading the search tables once.
        """
        return all(table.condense(turns, stop) for table in self._tables)
