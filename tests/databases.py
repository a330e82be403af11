"""Databases as a host leaves them after a large deletion: full-text indexes, triggers, many free pages.

The indexes and triggers are those of host 0.13 to 0.19. Texts are made up from a seed.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

from homes import HomeBuilder

WORDS = [f"word{number:03}" for number in range(200)]
RARE = "needle"
"""A word that only the first message holds."""

_INDEX = """
    CREATE VIRTUAL TABLE {name} USING fts5(content{options});
    CREATE TRIGGER {name}_insert AFTER INSERT ON messages BEGIN
        INSERT INTO {name}(rowid, content) VALUES (new.id, {text});
    END;
    CREATE TRIGGER {name}_delete AFTER DELETE ON messages BEGIN
        DELETE FROM {name} WHERE rowid = old.id;
    END;
    CREATE TRIGGER {name}_update AFTER UPDATE ON messages BEGIN
        DELETE FROM {name} WHERE rowid = old.id;
        INSERT INTO {name}(rowid, content) VALUES (new.id, {text});
    END;
"""
_TEXT = "COALESCE(new.content, '') || ' ' || COALESCE(new.tool_name, '')"


def thinned_home(
    path: Path, *, messages: int = 600, deleted: float = 0.8, journal: str = "wal"
) -> HomeBuilder:
    """A home whose database had ``messages``, of which a share was ``deleted``, all but the first."""
    home = HomeBuilder(path, journal=journal)
    chance = random.Random(messages)
    with closing(sqlite3.connect(path / "state.db")) as database, database:
        for name, options in (("messages_fts", ""), ("messages_fts_trigram", ", tokenize='trigram'")):
            database.executescript(_INDEX.format(name=name, options=options, text=_TEXT))
        database.execute("PRAGMA user_version = 22")
        database.execute("INSERT INTO sessions (id, source, started_at) VALUES ('s1', 'cli', 1.0)")
        database.executemany(
            "INSERT INTO messages (session_id, role, content, timestamp) VALUES ('s1', 'user', ?, ?)",
            [(text(chance, RARE if number == 0 else ""), float(number)) for number in range(messages)],
        )
    with closing(sqlite3.connect(path / "state.db")) as database, database:
        database.execute("DELETE FROM messages WHERE id > 1 AND id % 100 < ?", (int(deleted * 100),))
    return home


def text(chance: random.Random, first: str) -> str:
    """About a kilobyte of words."""
    return " ".join([first, *chance.choices(WORDS, k=120)])


def facts(path: Path) -> dict[str, object]:
    """What a compaction must not change, and whether the database is sound."""
    with closing(sqlite3.connect(path)) as database:
        rows = {
            name: database.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
            for name in ("sessions", "messages", "state_meta", "sqlite_sequence")
        }
        search = "SELECT rowid FROM messages_fts WHERE messages_fts MATCH ? ORDER BY rowid"
        pragmas = ("journal_mode", "user_version", "page_size", "auto_vacuum", "integrity_check")
        return {
            **rows,
            "search": [database.execute(search, (word,)).fetchall() for word in (RARE, WORDS[3])],
            **{name: database.execute(f"PRAGMA {name}").fetchall() for name in pragmas},
        }
