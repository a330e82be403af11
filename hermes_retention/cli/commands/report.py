"""``report``: what is stored, was, and will be, as a page of HTML."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.options import DAYS, Command, Option
from hermes_retention.model.errors import ExitCode, UsageError
from hermes_retention.model.text import counted, format_size, format_time, minute, printable

if TYPE_CHECKING:
    from jinja2 import Template

    from hermes_retention.actions.inspect.report_data import Overview
    from hermes_retention.cli.context import Context

COMMAND = Command(
    "write a page with charts of what is stored, was, and will be",
    about="""\
One file of HTML that works offline and loads nothing: disk over time, what
takes the space, the largest sessions, cron jobs, sweeps, a forecast, warnings.
It names sessions and their titles, and only you may read the file.""",
    examples="  %(prog)s --html report.html\n  %(prog)s --html ~/report.html --days 30",
    options=(
        Option("--html", metavar="FILE", required=True, help="where to; an older one is replaced"),
        DAYS,
    ),
)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Write the page; exit code 5 when the vault is damaged."""
    from pathlib import Path

    from hermes_retention.actions.inspect.report_data import take_overview
    from hermes_retention.disk.writing import replace_private_file

    now, path = context.clock(), Path(arguments.html).expanduser()
    overview = take_overview(context.home, days=arguments.days, now=now)
    if path.is_dir():
        raise UsageError(
            f"--html {path}",
            "it is a directory",
            consequence="nothing was written",
            cure="Name a file in it, such as report.html.",
        )
    replace_private_file(path, html_report(overview, now=now))
    context.page.line(f"Written: {path}")
    damage = overview.status.vault_damage
    context.warn([] if damage is None else [str(damage)])
    return ExitCode.DONE if damage is None else ExitCode.VAULT_DAMAGED


_LIBRARIES = ("chart.umd.min.js", "chartjs-chart-treemap.min.js")
_LICENCES = ("LICENSE-chart.js.txt", "LICENSE-chartjs-chart-treemap.txt")
_LONGEST = 200
"""Characters of a title that are shown."""


def html_report(overview: Overview, *, now: float) -> bytes:
    """The whole page in UTF-8. Equal overviews give equal pages."""
    from hermes_retention import __version__

    style = _asset("style.css")
    scripts = [*map(_library, _LIBRARIES), _asset("charts.js")]
    page = _template().render(
        overview=overview,
        status=overview.status,
        now=now,
        version=__version__,
        tiles=_tiles(overview, now=now),
        warnings=_warnings(overview),
        policy=_policy(style, scripts),
        style=style,
        data=_inert(_data(overview, now=now)),
        scripts=scripts,
        licences=_licences(),
    )
    return page.encode("utf-8", "backslashreplace")


def _template() -> Template:
    """Whatever is put into it is made printable, then escaped for HTML."""
    from jinja2 import Environment, StrictUndefined

    from hermes_retention.cli.output.status import freed_bytes, what_words
    from hermes_retention.policy.caps import alert_words

    environment = Environment(
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "alert": alert_words,
        "cut": _cut,
        "freed": freed_bytes,
        "minute": minute,
        "size": format_size,
        "time": format_time,
        "what": what_words,
    }
    return environment.from_string(_asset("report.html.j2"))


def _shown(value: object) -> object:
    """``__html__`` marks what is HTML already: our own parts of the page."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _asset(name: str) -> str:
    from importlib.resources import files

    return (files("hermes_retention.cli.output") / "assets" / name).read_text(encoding="utf-8")


def _library(name: str) -> str:
    """As it was published, without the line that makes a browser look for a file beside it."""
    lines = _asset(f"vendor/{name}").splitlines()
    return "\n".join(line for line in lines if not line.startswith("//# sourceMappingURL="))


def _licences() -> str:
    """For a comment, as the licences ask for wherever the libraries go."""
    texts = "\n\n".join(_asset(f"vendor/{name}") for name in _LICENCES)
    return texts.replace("--", "- -")


def _policy(style: str, scripts: Sequence[str]) -> str:
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    import base64
    import hashlib

    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _inert(content: dict[str, Any]) -> str:
    """JSON in which no text can end the element around it."""
    import json

    text = json.dumps(content, separators=(",", ":"))  # ASCII: also U+2028 and lone surrogates are escaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# -- data of the charts -------------------------------------------------------------------------------


def _data(overview: Overview, *, now: float) -> dict[str, Any]:
    from hermes_retention.cli.output.status import freed_bytes

    forecast = overview.forecast
    points = forecast.current.points
    return {
        "now": now,
        "times": overview.times,
        "layers": [
            {"class": part.session_class.value, "place": part.place, "bytes": sizes}
            for part, sizes in overview.layers.items()
        ],
        "measured": overview.measured,
        "parts": [
            {"class": part.session_class.value, "place": part.place, "bytes": sizes[-1]}
            for part, sizes in overview.layers.items()
            if sizes[-1]
        ],
        "largest": [
            {
                "id": printable(one.session_id),
                "title": _cut(one.title),
                "class": one.session_class.value,
                "files": one.files_bytes,
                "messages": one.messages_bytes,
                "archive": one.archive_bytes,
            }
            for one in overview.largest
        ],
        "jobs": [
            {"name": _cut(job.name), "stored": job.stored_bytes, "written": job.written_bytes}
            for job in overview.jobs
        ],
        "sweeps": [
            {"at": sweep.started_at, "freed": freed}
            for sweep in reversed(overview.sweeps)
            if (freed := freed_bytes(sweep)) is not None
        ],
        "forecast": {
            "times": [point.at for point in points],
            "current": [point.total_bytes for point in points],
            "without": [point.total_bytes for point in forecast.without.points],
        },
    }


def _cut(text: str | None) -> str:
    shown = printable(text or "")
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


# -- what people read ----------------------------------------------------------------------------------


def _tiles(overview: Overview, *, now: float) -> tuple[tuple[str, str], ...]:
    from hermes_retention.cli.output.status import archive_words, full_words, growth_words

    status = overview.status
    free = status.usage.free_bytes
    database = "none" if status.database is None else format_size(status.database.file_bytes)
    share = "" if status.database is None else f", {status.database.free_share:.0%} of it free pages"
    return (
        ("taken in all", format_size(status.usage.total_bytes)),
        ("free on the disk", "unknown" if free is None else format_size(free)),
        ("growth", growth_words(status.growth)),
        ("disk full", full_words(status.growth, now=now)),
        ("sessions in the store", f"{status.picture.sessions:,}"),
        ("archive", archive_words(status)),
        ("state.db", f"{database}{share}"),
        ("held", counted(status.holds, "session")),
    )


def _warnings(overview: Overview) -> list[str]:
    status = overview.status
    return [*([] if status.vault_damage is None else [str(status.vault_damage)]), *status.warnings]
