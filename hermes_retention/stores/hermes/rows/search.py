"""What messages in the host's database say, read piece by piece so that the host's log can be cut meanwhile.

What must not live here: what matches.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hermes_retention.stores.base import LiveMessage
from hermes_retention.stores.hermes.rows.tables import MESSAGES, columns_in_order, quoted
from hermes_retention.stores.hermes.state_db import reading

_TEXTS = ("content", "tool_calls", "reasoning", "reasoning_content")
_OTHERS = ("role", "tool_name", "timestamp")
_IDS_AT_A_TIME = 5000
_LONGEST_RUN = 1000
"""SQLite refuses patterns of more than 50,000 bytes."""


def message_texts(path: Path, run: str) -> Iterator[LiveMessage]:
    """The messages that may hold ``run``, newest first. Raises ``StoreUnreadable``."""
    top: int | None = None
    while True:
        found, top = _piece(path, run[:_LONGEST_RUN], top)
        yield from found
        if top is None:
            return


def _piece(path: Path, run: str, top: int | None) -> tuple[list[LiveMessage], int | None]:
    """Messages of a range of ids that ends at ``top``, or at the newest; and where the next range ends."""
    with reading(path) as database:
        columns = () if database is None else columns_in_order(database, MESSAGES)
        if database is None or not {"id", "session_id"} <= {*columns}:
            return [], None
        if top is None:
            (top,) = database.execute("SELECT max(id) FROM messages").fetchone()
        (lowest,) = database.execute("SELECT min(id) FROM messages").fetchone()
        if top is None or lowest is None or top < lowest:
            return [], None
        texts = [quoted(name) for name in _TEXTS if name in columns]
        names = [*(name for name in (*_TEXTS, *_OTHERS) if name in columns)]
        like = " OR ".join(f"{text} LIKE :run ESCAPE '\\'" for text in texts) if run and texts else "1"
        rows = database.execute(
            f"SELECT session_id, {', '.join(map(quoted, names))} FROM messages "  # noqa: S608 - quoted names
            f"WHERE id BETWEEN :bottom AND :top AND ({like}) ORDER BY id DESC",
            {"run": f"%{_escaped(run)}%", "bottom": top - _IDS_AT_A_TIME + 1, "top": top},
        )
        found: list[LiveMessage] = [(str(row[0]), dict(zip(names, row[1:], strict=True))) for row in rows]
    return found, top - _IDS_AT_A_TIME


def _escaped(run: str) -> str:
    return run.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
