"""How the value of a setting is written: each form reads text and shows its value as text again.

A form is a type for a pydantic field. It validates text, since all sources give text, and its JSON
serialization is text that it reads back to the same value. Errors say what would be right; which setting of
which place is wrong is said in ``load``. What must not live here: names and defaults of settings.
"""

from __future__ import annotations

import enum
import functools
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, PlainSerializer

from hermes_retention.model.text import (
    DURATION_FORM,
    SIZE_FORM,
    format_setting_duration,
    parse_duration,
    parse_size,
)
from hermes_retention.policy.caps import Reaction
from hermes_retention.policy.lifecycle import MIN_AGE_FLOOR, TOOL_OUTPUT_FLOOR, OnReset

_OFF = frozenset({"never", "off", "false", "no"})
"""``false`` and ``no`` too: YAML takes an unquoted ``off`` for a boolean, and a host that rewrites its
``config.yaml`` leaves ``false`` there."""
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_BARE_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_COUNT = re.compile(r"\d{1,9}", re.ASCII)
_NUMBER_OF_BYTES = re.compile(r"\d{1,30}", re.ASCII)
_SHARE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<percent>%?)", re.ASCII)
_DOLLARS = re.compile(r"\d{1,9}(?:\.\d{1,6})?", re.ASCII)
_SIZE_UNITS = ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB", "B")
SHORTEST_INTERVAL = 60
"""Seconds between two sweeps of a gateway: each looks at the whole home."""
_Choice = TypeVar("_Choice", bound=enum.StrEnum)
_Number = TypeVar("_Number", int, float)


class Mode(enum.StrEnum):
    """What sweeps may do."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


def _duration(text: str, *, form: str = DURATION_FORM) -> int:
    try:
        return parse_duration(text)
    except (ValueError, OverflowError):
        raise ValueError(_wrong(text, form)) from None


def _long_duration(text: str, *, floor: int) -> int:
    form = f"{DURATION_FORM}; at least {floor}s"
    seconds = _duration(text, form=form)
    if seconds < floor:
        raise ValueError(f"too short; write {form}")
    return seconds


def _duration_or_never(text: str) -> int | None:
    return None if text.lower() in _OFF else _duration(text, form=f"{DURATION_FORM}; or never")


def _size_or_off(text: str) -> int | None:
    if text.lower() in _OFF:
        return None
    try:
        return parse_size(text)
    except (ValueError, OverflowError):
        raise ValueError(_wrong(text, f"{SIZE_FORM}; or off")) from None


def _budget(text: str) -> int | None:
    size_bytes = _size_or_off(text)
    if size_bytes == 0:
        raise ValueError("nothing fits into no bytes; write off for no limit")
    return size_bytes


def _output_size(text: str) -> int:
    form = f"{SIZE_FORM}; at least {TOOL_OUTPUT_FLOOR}B"
    try:
        size_bytes = parse_size(text)
    except (ValueError, OverflowError):
        raise ValueError(_wrong(text, form)) from None
    if size_bytes < TOOL_OUTPUT_FLOOR:
        raise ValueError(f"too small; write {form}")
    return size_bytes


def _show_size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "off"
    for unit in _SIZE_UNITS:
        count, rest = divmod(size_bytes, parse_size(f"1{unit}"))
        if count and not rest:
            return f"{count}{unit}"
    return "0B"


def _byte_limit(text: str) -> int:
    """The name of such a setting says that it counts bytes, so a number alone is one."""
    if _NUMBER_OF_BYTES.fullmatch(text):
        return int(text)
    try:
        return _size_or_off(text) or 0
    except ValueError:
        raise ValueError("write a number of bytes such as 1000000, or 0 for none") from None


def _share(text: str) -> float:
    match = _SHARE.fullmatch(text)
    number = float(match["number"]) if match else 0.0
    share = number / 100 if match and match["percent"] else number
    if not 0 < share <= 1:
        raise ValueError("write a share above 0 and up to 1, such as 0.8 or 80%")
    return share


def _show_share(share: float) -> str:
    return format(Decimal(repr(share)), "f")


def _count(text: str) -> int:
    if not _COUNT.fullmatch(text):
        raise ValueError("write a whole number from 0 to 999999999")
    return int(text)


def _file(text: str) -> Path | None:
    if text.lower() in _OFF:
        return None
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        path = Path()
    if not path.is_absolute() or "\0" in text:
        raise ValueError("write the whole path of a file, from / or ~, or off")
    return path


def _show_file(path: Path | None) -> str:
    return "off" if path is None else str(path)


def _limit_or_off(text: str) -> int | None:
    if text.lower() in _OFF:
        return None
    if not _COUNT.fullmatch(text):
        raise ValueError("write a whole number from 1 to 999999999, or off")
    return _some(int(text))


def _dollars_or_off(text: str) -> float | None:
    if text.lower() in _OFF:
        return None
    if not _DOLLARS.fullmatch(text):
        raise ValueError("write US dollars as a number, such as 5 or 2.50, or off")
    return _some(float(text))


def _some(number: _Number) -> _Number:
    if not number:
        raise ValueError("no session fits into a limit of 0; write off for no limit")
    return number


def _show_number(number: float | None) -> str:
    return "off" if number is None else format(Decimal(repr(number)), "f")


def _action(text: str, *, why_no_reset: str) -> Reaction:
    if text.lower() == Reaction.RESET:
        raise ValueError(f"{why_no_reset}; write alert or stop")
    try:
        return Reaction(text.lower())
    except ValueError:
        raise ValueError("write alert or stop") from None


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("write true or false")
    return word in _TRUE


def _show_flag(flag: bool) -> str:  # noqa: FBT001 - the flag is the value that is shown
    return "true" if flag else "false"


def _choice(text: str, *, of: type[_Choice]) -> _Choice:
    try:
        return of(text.lower())
    except ValueError:
        *others, last = of
        raise ValueError(f"write {', '.join(others)} or {last}") from None


def _mode(text: str) -> Mode:
    return Mode.OFF if text.lower() in _OFF - {"never"} else _choice(text, of=Mode)


def _wrong(text: str, form: str) -> str:
    if text.startswith("-"):
        return f"it cannot be negative; write {form}"
    if _BARE_NUMBER.fullmatch(text):
        return f"a number alone has no unit; write {form}"
    return f"write {form}"


_ShownDuration = PlainSerializer(format_setting_duration, when_used="json")
_ShownSize = PlainSerializer(_show_size, when_used="json")
_ShownNumber = PlainSerializer(_show_number, when_used="json")

MinimumAge = Annotated[
    int, BeforeValidator(functools.partial(_long_duration, floor=MIN_AGE_FLOOR)), _ShownDuration
]
Interval = Annotated[
    int, BeforeValidator(functools.partial(_long_duration, floor=SHORTEST_INTERVAL)), _ShownDuration
]
Duration = Annotated[int, BeforeValidator(_duration), _ShownDuration]
DurationOrNever = Annotated[int | None, BeforeValidator(_duration_or_never), _ShownDuration]
SizeOrOff = Annotated[int | None, BeforeValidator(_size_or_off), _ShownSize]
Budget = Annotated[int | None, BeforeValidator(_budget), _ShownSize]
OutputSize = Annotated[int, BeforeValidator(_output_size), _ShownSize]
Share = Annotated[float, BeforeValidator(_share), PlainSerializer(_show_share, when_used="json")]
Count = Annotated[int, BeforeValidator(_count), PlainSerializer(str, when_used="json")]
ByteLimit = Annotated[int, BeforeValidator(_byte_limit), PlainSerializer(str, when_used="json")]
Flag = Annotated[bool, BeforeValidator(_flag), PlainSerializer(_show_flag, when_used="json")]
FileOrUnset = Annotated[Path | None, BeforeValidator(_file), PlainSerializer(_show_file, when_used="json")]
ModeOrUnset = Annotated[Mode | None, BeforeValidator(_mode)]
ResetAction = Annotated[OnReset, BeforeValidator(functools.partial(_choice, of=OnReset))]
LimitOrOff = Annotated[int | None, BeforeValidator(_limit_or_off), _ShownNumber]
DollarsOrOff = Annotated[float | None, BeforeValidator(_dollars_or_off), _ShownNumber]
AnyAction = Annotated[Reaction, BeforeValidator(functools.partial(_choice, of=Reaction))]
ActionOfOneRun = Annotated[
    Reaction,
    BeforeValidator(
        functools.partial(_action, why_no_reset="no later message could start a fresh session here")
    ),
]
