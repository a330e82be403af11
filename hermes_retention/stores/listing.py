"""What the directories of all hosts have in common: entries that are looked at without opening them.

What must not live here: what the names of any host mean.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from hermes_retention.model.session import Unknown
from hermes_retention.model.text import words

BLOCK = 512
"""The unit of ``st_blocks``, whatever the file system's own blocks are."""


def look_at(
    entries: Iterable[os.DirEntry[str]], unknown: list[Unknown]
) -> Iterator[tuple[str, os.stat_result]]:
    """Names and what ``lstat`` says of them.

    What vanishes meanwhile is left out, and what the system refuses to look at is added to ``unknown``.
    """
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            unknown.append(Unknown(entry.name, f"it cannot be looked at ({words(error)})"))
        else:
            yield entry.name, status


def why_unknown(mode: int) -> str:
    """Why an entry of this mode belongs to no session, for people."""
    if stat.S_ISREG(mode):
        return "no file of a session has a name of this form"
    if stat.S_ISLNK(mode):
        return "a symbolic link, which is not followed"
    return "a directory" if stat.S_ISDIR(mode) else "not a regular file"
