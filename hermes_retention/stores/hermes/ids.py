"""What a session id says by its form, and the form in which the host writes it into file names.

Ids come from the host, from clients of its API and from whatever lies in a directory: any string is possible.
What must not live here: files, databases, and decisions about sessions.
"""

from __future__ import annotations

import hashlib
import re

from hermes_retention.model.session import SessionClass

is_kept_as_is = re.compile(r"(?!_)[\w-]{1,96}(?<!_)").fullmatch
"""Truthy for ids that the host writes into file names unchanged: nearly all. ``\\w`` knows every alphabet."""
_REPLACED = re.compile(r"[^\w-]")
_LONGEST_SAFE = 96
_STAMP = re.compile(r"_[0-9]{8}_[0-9]{6}")
STAMP_LENGTH = len("_20261120_101500")

_SHAPES = (
    (SessionClass.API, re.compile(r"api-[0-9a-f]{16}|api_[0-9]+_[0-9a-f]{8}|run_[0-9a-f]+")),
    (SessionClass.CHAT, re.compile(r"[0-9]{8}_[0-9]{6}_[0-9a-f]{8}")),
    (SessionClass.CLI, re.compile(r"[0-9]{8}_[0-9]{6}_[0-9a-f]{6}")),
    (SessionClass.OTHER, re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")),
)


def safe_name(session_id: str) -> str:
    """The part that stands for ``session_id`` in file names of host 0.15 and newer.

    The host's own rule (``_safe_session_filename_component`` in its ``run_agent.py``): what is no word
    character becomes ``_``, 96 characters at most, and a changed id gets a piece of its hash. Host 0.13 and
    0.14 wrote the id itself.
    """
    raw = session_id.strip()
    if is_kept_as_is(raw):
        return raw
    safe = _REPLACED.sub("_", raw).strip("._")[:_LONGEST_SAFE] or "session"
    digest = hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{safe}_{digest}"


def has_stamp(text: str) -> bool:
    """Whether ``text`` ends in ``_YYYYmmdd_HHMMSS``."""
    return _STAMP.fullmatch(text, len(text) - STAMP_LENGTH) is not None


def cron_job(session_id: str) -> str | None:
    """The job in ``cron_<job>_<stamp>``; ``None`` when the id has another form. Jobs may contain ``_``."""
    if not session_id.startswith("cron_") or not has_stamp(session_id):
        return None
    return session_id[len("cron_") : -STAMP_LENGTH] or None


def class_by_shape(session_id: str) -> SessionClass | None:
    """The class that the form of an id speaks for; ``None`` when the host makes no ids of this form."""
    if cron_job(session_id) is not None:
        return SessionClass.CRON
    return next((kind for kind, shape in _SHAPES if shape.fullmatch(session_id)), None)
