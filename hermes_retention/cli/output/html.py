"""The report as one page of HTML that loads nothing: charts by a library that lies in it, tables beside them.

Titles and ids come from strangers: texts are escaped here, data for the charts in a form in which no text can
end its element, and a policy in the page lets nothing run but the three scripts that are in it. What must not
live here: reading a home.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from hermes_retention import __version__
from hermes_retention.actions.inspect.report_data import Overview
from hermes_retention.cli.output.status import (
    archive_words,
    freed_bytes,
    full_words,
    growth_words,
    what_words,
)
from hermes_retention.model.text import counted, printable
from hermes_retention.model.units import format_size, format_time, minute
from hermes_retention.policy.caps import alert_words

_ASSETS = files("hermes_retention.cli.output") / "assets"
_LIBRARIES = ("chart.umd.min.js", "chartjs-chart-treemap.min.js")
_LICENCES = ("LICENSE-chart.js.txt", "LICENSE-chartjs-chart-treemap.txt")
_LONGEST = 200
"""Characters of a title that are shown."""

_FOOTER = (
    '<footer class="faint">This page loads nothing and tells nobody. It names sessions and their titles: '
    "treat it like the conversations themselves.</footer>"
)


def html_report(overview: Overview, *, now: float) -> bytes:
    """The whole page in UTF-8. Equal overviews give equal pages."""
    style = _asset("style.css")
    scripts = [*(_library(name) for name in _LIBRARIES), _asset("charts.js")]
    title = f"Retention report of {printable(overview.status.home)}"
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(style, scripts)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
{_body(overview, now=now)}
<script type="application/json" id="data">{_inert(_data(overview, now=now))}</script>
{"".join(f"<script>{script}</script>" for script in scripts)}
{_licences()}
</body>
</html>
"""
    return page.encode("utf-8", "backslashreplace")


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _library(name: str) -> str:
    """As it was published, without the line that makes a browser look for a file beside it."""
    lines = (_ASSETS / "vendor" / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("//# sourceMappingURL="))


def _licences() -> str:
    """In a comment, as the licences ask for wherever the libraries go."""
    texts = "\n\n".join((_ASSETS / "vendor" / name).read_text(encoding="utf-8") for name in _LICENCES)
    return f"<!--\n{texts.replace('--', '- -')}\n-->"


def _policy(style: str, scripts: Sequence[str]) -> str:
    allowed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _inert(content: dict[str, Any]) -> str:
    """JSON in which no text can end the element around it."""
    text = json.dumps(content, separators=(",", ":"))  # ASCII: also U+2028 and lone surrogates are escaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# -- data of the charts -------------------------------------------------------------------------------


def _data(overview: Overview, *, now: float) -> dict[str, Any]:
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


def _body(overview: Overview, *, now: float) -> str:
    status = overview.status
    parts = [
        f"<h1>{html.escape(printable(status.home))}</h1>",
        f'<p class="faint">hermes-retention {__version__}, {html.escape(format_time(now))}</p>',
        _tiles(overview, now=now),
        _warnings(overview),
        *_alerts(overview),
        *_over_time(overview),
        *_treemap(overview),
        *_largest(overview),
        *_jobs(overview),
        *_sweeps(overview),
        *_forecast(overview),
        '<noscript><p class="faint">The charts need JavaScript; the tables hold the same.</p></noscript>',
        _FOOTER,
    ]
    return "\n".join(part for part in parts if part)


def _tiles(overview: Overview, *, now: float) -> str:
    status = overview.status
    usage = status.usage
    free = "unknown" if usage.free_bytes is None else format_size(usage.free_bytes)
    database = "none" if status.database is None else format_size(status.database.file_bytes)
    share = "" if status.database is None else f", {status.database.free_share:.0%} of it free pages"
    tiles = (
        ("taken in all", format_size(usage.total_bytes)),
        ("free on the disk", free),
        ("growth", growth_words(status.growth)),
        ("disk full", full_words(status.growth, now=now)),
        ("sessions in the store", f"{status.picture.sessions:,}"),
        ("archive", archive_words(status)),
        ("state.db", f"{database}{share}"),
        ("held", counted(status.holds, "session")),
    )
    cells = (
        f'<div class="tile"><span class="faint">{name}</span><b>{_text(text)}</b></div>'
        for name, text in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _warnings(overview: Overview) -> str:
    status = overview.status
    damage = [] if status.vault_damage is None else [str(status.vault_damage)]
    lines = [f"<p>{_text(line)}</p>" for line in (*damage, *status.warnings)]
    return f'<div class="warnings" role="alert">{"".join(lines)}</div>' if lines else ""


def _alerts(overview: Overview) -> Iterable[str]:
    if not overview.alerts:
        return
    yield "<h2>Alerts of caps</h2>"
    rows = [
        (minute(alert.at), printable(alert.session_id), alert.session_class, alert_words(alert))
        for alert in overview.alerts
    ]
    yield _table(("when", "session", "class", "what"), rows, numbers=0)


def _over_time(overview: Overview) -> Iterable[str]:
    yield f"<h2>Disk over the last {overview.days} days</h2>"
    yield (
        '<p class="faint">By class and place, as the dates of files, messages and archived copies tell it. '
        "What was deleted for good is not in it; the dashed line is what sweeps measured, the rest of the "
        "database and the ledger included.</p>"
    )
    yield _canvas("over-time", "Bytes stored for each day, stacked by class of session and place")
    rows = [
        (
            part.session_class.value,
            part.place,
            format_size(sizes[0]),
            format_size(max(sizes)),
            format_size(sizes[-1]),
        )
        for part, sizes in overview.layers.items()
    ]
    yield _details(("class", "place", "then", "most", "now"), rows, numbers=3)


def _treemap(overview: Overview) -> Iterable[str]:
    if not any(sizes[-1] for sizes in overview.layers.values()):
        return
    yield "<h2>What takes the space</h2>"
    yield _canvas("treemap", "Bytes by class of session and place")


def _largest(overview: Overview) -> Iterable[str]:
    if not overview.largest:
        return
    yield "<h2>Largest sessions</h2>"
    yield _canvas("largest", "The 15 largest sessions by place", tall=True)
    rows = [
        (
            _cut(one.title) or "–",
            printable(one.session_id),
            one.session_class.value,
            minute(one.last_activity) if one.last_activity > 0 else "unknown",
            format_size(one.files_bytes),
            format_size(one.messages_bytes),
            format_size(one.archive_bytes),
        )
        for one in overview.largest
    ]
    titles = ("title", "session", "class", "last activity", "files", "messages", "archive")
    yield _details(titles, rows, numbers=3)


def _jobs(overview: Overview) -> Iterable[str]:
    if not overview.jobs:
        return
    yield "<h2>Cron jobs by what they write</h2>"
    yield _canvas("jobs", "Bytes that cron jobs wrote and take now", tall=True)
    rows = [
        (
            _cut(job.name),
            f"{job.runs:,}",
            f"{job.runs_in_window:,}",
            format_size(job.written_bytes),
            format_size(job.stored_bytes),
        )
        for job in overview.jobs
    ]
    titles = ("job", "known runs", f"in {overview.days} days", "wrote in all", "takes now")
    yield _details(titles, rows, numbers=4)


def _sweeps(overview: Overview) -> Iterable[str]:
    yield "<h2>Sweeps</h2>"
    if not overview.sweeps:
        yield '<p class="faint">No sweep has changed anything here yet.</p>'
        return
    yield _canvas("sweeps", "Bytes that each sweep freed")
    rows = [
        (
            sweep.id,
            minute(sweep.started_at),
            printable(sweep.origin),
            what_words(sweep),
            "?" if (freed := freed_bytes(sweep)) is None else format_size(freed),
        )
        for sweep in overview.sweeps
    ]
    yield _details(("sweep", "when", "by", "what", "freed"), rows, numbers=1)


def _forecast(overview: Overview) -> Iterable[str]:
    forecast = overview.forecast
    yield "<h2>Forecast</h2>"
    yield (
        f'<p class="faint">If the next {overview.days} days bring what the last ones brought, and sweeps run '
        "all the time.</p>"
    )
    yield _canvas("forecast", "Bytes stored under today's settings and without any sweep")
    rows = [
        (
            name,
            format_size(course.today.total_bytes),
            format_size(course.points[-1].total_bytes),
            format_size(course.peak.total_bytes),
            "not within that time" if full is None else format_time(full)[:10],
        )
        for name, course in (("today's settings", forecast.current), ("no sweeps", forecast.without))
        for full in [course.full_at(forecast.capacity_bytes)]
    ]
    yield _table(("settings", "today", f"in {overview.days} days", "most", "disk full"), rows, numbers=4)


def _canvas(name: str, label: str, *, tall: bool = False) -> str:
    css = "chart tall" if tall else "chart"
    return (
        f'<div class="{css}"><canvas id="{name}" role="img" aria-label="{html.escape(label)}"></canvas></div>'
    )


def _details(titles: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int) -> str:
    return f"<details><summary>as a table</summary>{_table(titles, rows, numbers=numbers)}</details>"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int) -> str:
    """The last ``numbers`` columns hold numbers."""
    first = len(titles) - numbers
    classes = ["number" if place >= first else "name" for place in range(len(titles))]
    head = _row("th", titles, classes)
    body = "".join(_row("td", row, classes) for row in rows)
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _row(element: str, cells: Sequence[str], classes: Sequence[str]) -> str:
    written = (
        f'<{element} class="{css}">{_text(cell)}</{element}>'
        for css, cell in zip(classes, cells, strict=True)
    )
    return f"<tr>{''.join(written)}</tr>"


def _text(text: str) -> str:
    return html.escape(printable(text))
