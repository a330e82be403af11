"""Which home is meant, before anything of it is read: by an option, by the environment, or the usual one.

Light on purpose: every process of a host, and every ``--help``, comes through here. What must not live here:
what lies in a home (``open``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hermes_retention.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STORES = ("auto", "hermes", "openclaw")
"""What ``--store`` always knows. Plugins add to it, so any name is checked only when a home is opened."""
VARIABLE = "HERMES_HOME"
"""The host's own variable."""
_USUAL = ".hermes"
_OTHER_HOMES = (
    ("OPENCLAW_STATE_DIR", "~/.openclaw"),
    ("CLAWDBOT_STATE_DIR", "~/.clawdbot"),
    ("MOLTBOT_STATE_DIR", "~/.moltbot"),
)
"""Where OpenClaw and what it was called before keep their state: variable and default."""


def hermes_home(environ: Mapping[str, str]) -> Path | None:
    """The home that ``HERMES_HOME`` names, read as the host reads it; ``None`` when it names none.

    Blanks at its ends do not count, and ``~`` is a directory of that name.
    """
    from pathlib import Path

    named = environ.get(VARIABLE, "").strip()
    return Path(named) if named else None


def host_home(environ: Mapping[str, str]) -> Path:
    """The home of a host that runs in this environment. A profile of the host sets the variable, too."""
    from pathlib import Path

    return hermes_home(environ) or Path.home() / _USUAL


def oddity_of_variable(environ: Mapping[str, str]) -> str | None:
    """What of ``HERMES_HOME`` a shell or a person may read differently; ``None`` when all read it alike."""
    named = environ.get(VARIABLE, "")
    if named.strip().startswith("~"):
        return f"{VARIABLE} begins with ~, which the host does not expand: it means a directory of that name"
    if named != named.strip():
        return f"{VARIABLE} has blanks at its ends; the host and this program ignore them, others may not"
    return None


def find_home(named: str | None, wanted: str, environ: Mapping[str, str]) -> Path:
    """The home that is meant; ``wanted`` is the name of a layout. Raises ``UsageError`` without a directory.

    ``named`` is what a person typed, so ``~`` stands for somebody's home directory there.
    """
    if named is not None:
        return _directory(_expanded(named))
    by_variable = hermes_home(environ)
    if by_variable is not None and wanted != "openclaw":
        return _directory(by_variable, oddity_of_variable(environ))
    usual = _expanded(f"~/{_USUAL}")
    others = list(_other_homes(environ))
    if others and (wanted == "openclaw" or (wanted == "auto" and not usual.is_dir())):
        return others[0]
    return _directory(usual)


def _other_homes(environ: Mapping[str, str]) -> Iterator[Path]:
    """Those that exist: first what a variable names, then where one usually is, the newest name first."""
    named = [environ[variable] for variable, _ in _OTHER_HOMES if environ.get(variable)]
    for home in map(_expanded, [*named, *(usual for _, usual in _OTHER_HOMES)]):
        if home.is_dir():
            yield home


def _directory(home: Path, oddity: str | None = None) -> Path:
    if home.is_dir():
        return home
    why = "it is not a directory" if home.exists() else "there is no such directory"
    raise UsageError(
        str(home),
        why if oddity is None else f"{why}: {oddity}",
        consequence="nothing was read or changed",
        cure=f"Name the host's home with --home DIR or {VARIABLE}.",
    )


def _expanded(named: str) -> Path:
    from pathlib import Path

    try:
        return Path(named).expanduser()
    except RuntimeError as error:
        raise UsageError(
            named,
            "nobody knows where that user's home directory is",
            consequence="nothing was read",
        ) from error
