"""Damage to a small archive, a byte at a time: it is told, or does no harm at all."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from vaults import PARTITION, fill

from hermes_retention.model.errors import RetentionError

CONTENTS = {f"s{number}": f"what {number} said, and more of that ".encode() * 9 for number in range(3)}


class Flips:
    """An archive of one month below ``folder`` in which single bytes are changed."""

    def __init__(self, folder: Path) -> None:
        self.vault = fill(folder, CONTENTS)
        self.path = folder / PARTITION
        self.whole = self.path.read_bytes()
        self._described = self.vault.artifacts()
        self.told = self.harmless = 0

    def flip(self, places: Iterable[int], mask: int = 0xFF) -> None:
        """Change the byte at each of these places, one after another, and look at what is said of it."""
        with self.path.open("r+b", buffering=0) as file:
            for place in places:
                file.seek(place)
                file.write(bytes([self.whole[place] ^ mask]))
                try:
                    self._look(place)
                finally:
                    file.seek(place)
                    file.write(self.whole[place : place + 1])
        assert self.path.read_bytes() == self.whole, "looking changes nothing"

    def _look(self, place: int) -> None:
        damages = [damage for _, found in self.vault.verify() for damage in found]
        if damages:
            self.told += 1
            return
        read = self.readable()
        assert read == CONTENTS, f"byte {place}: nobody told"
        assert self.vault.artifacts() == self._described, (
            f"byte {place}: described otherwise, and nobody told"
        )
        self.harmless += 1

    def readable(self) -> dict[str, bytes]:
        """Session → its content, of those that can be read."""
        found = {}
        for session_id in CONTENTS:
            with contextlib.suppress(RetentionError), self.vault.reader() as reader:
                for artifact in self.vault.artifacts(session_id=session_id):
                    found[session_id] = b"".join(reader.read(artifact))
        return found


def frame_places(path: Path) -> dict[str, range]:
    """Session → where in the file its frame lies."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "SELECT s.id, f.frame FROM frames f JOIN artifacts a ON a.id = f.artifact_id "
            "JOIN sessions s ON s.number = a.session"
        ).fetchall()
    whole = path.read_bytes()
    return {session_id: range(start := whole.index(frame), start + len(frame)) for session_id, frame in rows}
