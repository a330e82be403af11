"""Names that come from disks and clients, what the system says of files, and numbers of things, fit to show.

A file name may hold any byte but ``/`` and NUL, a session id whatever a client sent. Both are escaped where
they are shown, so that nobody can forget it: in the text of an error, on a page, in JSON, in the log, in a
chat and in the report.
What must not live here: parsing of names.
"""

from __future__ import annotations

import re

is_kept_as_is = re.compile(r"(?!_)[\w-]{1,96}(?<!_)").fullmatch
"""Truthy for ids that stand in names of files unchanged: nearly all. ``\\w`` knows every alphabet."""
_REPLACED = re.compile(r"[^\w-]")
_LONGEST_SAFE = 96
_STRAY_BYTES = range(0xDC80, 0xDD00)
"""Code points that stand for bytes that were not UTF-8 (``surrogateescape``)."""


def printable(name: str) -> str:
    r"""``name`` on one line of valid Unicode: control characters and stray bytes are escaped (``\x1b``)."""
    if name.isprintable():
        return name
    return "".join(character if character.isprintable() else _escape(character) for character in name)


def printable_lines(text: str) -> str:
    """``text`` with its line breaks, each line printable: for texts that have several lines on purpose."""
    return "\n".join(map(printable, text.split("\n")))


def is_text(name: str) -> bool:
    """Whether databases and JSON can take ``name``: it holds no stray bytes and no half characters."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(name: str) -> str:
    """``name`` if it is text, else its printable form."""
    return name if is_text(name) else printable(name)


def _escape(character: str) -> str:
    if ord(character) in _STRAY_BYTES:
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def words(error: OSError) -> str:
    """What the operating system says, for the middle of a sentence."""
    return (error.strerror or type(error).__name__).lower()


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 session``, ``1,204 sessions``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def safe_name(session_id: str) -> str:
    """The part that stands for ``session_id`` in names of files, here and in Hermes 0.15 and newer.

    That host's own rule (``_safe_session_filename_component`` in its ``run_agent.py``): what is no word
    character becomes ``_``, 96 characters at most, and a changed id gets a piece of its hash. Hermes 0.13 and
    0.14 wrote the id itself.
    """
    raw = session_id.strip()
    if is_kept_as_is(raw):
        return raw
    import hashlib  # this module is loaded with every command, and few ids need it

    safe = _REPLACED.sub("_", raw).strip("._")[:_LONGEST_SAFE] or "session"
    digest = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{safe}_{digest}"
