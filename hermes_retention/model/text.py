"""What people read and write: names fit to show, numbers of things, durations, sizes and times.

A file name may hold any byte but ``/`` and NUL, a session id whatever a client sent. Both are escaped where
they are shown, so that nobody can forget it: in the text of an error, on a page, in JSON, in the log, in a
chat and in the report.
Durations and sizes are written ``90s 30m 12h 7d 2w``, ``500KB 10MB 2GiB``, ``never``. Inside the project a
duration is a whole number of seconds and a size a whole number of bytes; ``None`` stands for ``never`` or
``off``.
What must not live here: parsing of names, settings, and anything that reads a clock.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

is_kept_as_is = re.compile(r"(?!_)[\w-]{1,96}(?<!_)").fullmatch
"""Truthy for ids that stand in names of files unchanged: nearly all. ``\\w`` knows every alphabet."""
_REPLACED = re.compile(r"[^\w-]")
_LONGEST_SAFE = 96
_STRAY_BYTES = range(0xDC80, 0xDD00)
"""Code points that stand for bytes that were not UTF-8 (``surrogateescape``)."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_NUMBER = r"(?P<whole>\d{1,30})(?:\.(?P<part>\d{1,30}))?"  # more digits than that are a slip, not a wish
_DURATION = _NUMBER + r"\s*(?P<unit>[smhdw])"
_SIZE = _NUMBER + r"\s*(?P<unit>(?:[KMGT]i?)?B)"
_ROUNDS_TO_100 = 99.95
_ROUNDS_TO_1000 = 999.5
DURATION_FORM = "a duration with its unit, such as 90s, 30m, 12h, 7d or 2w"
SIZE_FORM = "a size with its unit, such as 500KB, 10MB or 2GiB"


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


def parse_duration(text: str) -> int:
    """Seconds in ``text``, rounded down. Raises ``ValueError`` that says what would be right."""
    match = _match(_DURATION, text)
    if match is None:
        raise ValueError(f"{text!r} is not {DURATION_FORM}")
    return _times(match, _SECONDS[match["unit"].lower()])


def parse_size(text: str) -> int:
    """Bytes in ``text``, rounded down. Raises ``ValueError`` that says what would be right."""
    match = _match(_SIZE, text)
    if match is None:
        raise ValueError(f"{text!r} is not {SIZE_FORM}")
    return _times(match, _BYTES[match["unit"].upper()])


def _match(form: str, text: str) -> re.Match[str] | None:
    """Compiled at its first use only: every start of the program loads this, and few read a unit."""
    return re.fullmatch(form, text.strip(), re.IGNORECASE | re.ASCII)


def _times(number: re.Match[str], unit: int) -> int:
    """Exact: a float would turn ``1.005KB`` into 1004 bytes."""
    part = number["part"] or ""
    scale: int = 10 ** len(part)
    return int(number["whole"] + part) * unit // scale


def format_duration(seconds: float) -> str:
    """``seconds`` for people, one unit, rounded down: ``45 s``, ``3 h``, ``12 d``.

    Any number: a damaged row may hold a time that is infinitely far off, or none.
    """
    if not math.isfinite(seconds):
        return "an unknown time"
    whole = max(0, int(seconds))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if whole >= 2 * length or whole == length:
            return f"{whole // length} {unit}"
    return f"{whole} s"


def format_setting_duration(seconds: int | None) -> str:
    """``seconds`` in the form that ``parse_duration`` reads back to the same number."""
    if seconds is None:
        return "never"
    for unit in "dhm":
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


def format_size(size_bytes: float) -> str:
    """``size_bytes`` for people, in decimal units: ``0 B``, ``71.4 KB``, ``1.2 GB``."""
    value = float(size_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if abs(value) < _ROUNDS_TO_1000:
            whole = unit == "B" or abs(value) >= _ROUNDS_TO_100
            return f"{value:.0f} {unit}" if whole else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_time(timestamp: float) -> str:
    """A Unix time in seconds as ISO 8601 in UTC, whole seconds; any number, as a damaged row may hold it."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # no year from 1 to 9999
        return "an unknown time"


def minute(timestamp: float) -> str:
    """A Unix time in UTC to the minute, for tables."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%MZ")
