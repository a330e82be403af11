"""``report --html``: one private file that loads nothing, whatever people call their sessions."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder
from program import run

import hermes_retention
from hermes_retention.home.ledger import Ledger
from hermes_retention.policy.caps import Alert, Cap, CapFinding, CapStage, Reaction

ASSETS = Path(hermes_retention.__file__).parent / "cli" / "output" / "assets"
VENDOR = ASSETS / "vendor"
TITLE = "</script><script>alert(1)</script>"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    made = HomeBuilder(tmp_path / "home").session("a", age=40 * DAY, title=TITLE, ended="expired")
    made.session("b", age=DAY, title=TITLE)
    return made.session("cron_news_20261101_080000", source="cron", age=9 * DAY, ended="cron_complete")


def written(home: HomeBuilder, tmp_path: Path, *arguments: str) -> str:
    path = tmp_path / "report.html"
    result = run(home, "report", "--html", str(path), *arguments)
    assert result.code == 0, result.err
    return path.read_text(encoding="utf-8")


def test_file_is_private_and_replaced_at_once(home: HomeBuilder, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("older")
    path.chmod(0o644)
    written(home, tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(it.name for it in tmp_path.iterdir()) == ["home", "report.html"]
    assert not (home.path / "retention").exists()


def test_equal_homes_and_times_give_equal_pages(home: HomeBuilder, tmp_path: Path) -> None:
    pages = [re.sub(r"free on the disk.*?</b>", "", written(home, tmp_path)) for _ in range(2)]
    assert pages[0] == pages[1]


def test_no_title_is_markup(home: HomeBuilder, tmp_path: Path) -> None:
    page = written(home, tmp_path)
    assert TITLE not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<script") == 4
    data = json.loads(
        re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0]
    )
    assert TITLE in {one["title"] for one in data["largest"]}


def test_policy_allows_these_scripts_and_nothing_else(home: HomeBuilder, tmp_path: Path) -> None:
    page = written(home, tmp_path)
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 4
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_page_names_no_other_place(home: HomeBuilder, tmp_path: Path) -> None:
    page = written(home, tmp_path)
    assert not re.search(r"<(?:link|img|iframe|object|embed|base)\b|\bsrc=|@import|sourceMappingURL=", page)


def test_archived_sessions_are_part_of_it(home: HomeBuilder, tmp_path: Path) -> None:
    run(home, "sweep", "--yes")
    page = written(home, tmp_path, "--days", "50")
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)[0])
    assert {"files", "archive", "messages"} <= {layer["place"] for layer in data["layers"]}
    assert all(len(layer["bytes"]) == len(data["times"]) for layer in data["layers"])
    assert [job["name"] for job in data["jobs"]] == ["news"]
    assert len(data["sweeps"]) == 1
    assert "over, and" not in page


def test_alerts_of_caps_are_listed(home: HomeBuilder, tmp_path: Path) -> None:
    run(home, "sweep", "--yes")
    assert "Alerts of caps" not in written(home, tmp_path)
    finding = CapFinding(Cap.MESSAGES, CapStage.NEAR, 950.0, 1000.0, Reaction.ALERT)
    alert = Alert("<i>a</i>", "chat", "telegram", finding, Reaction.ALERT, NOW - DAY, "near")
    with Ledger.open(home.path / "retention" / "ledger.db") as ledger:
        ledger.caps.note([alert], {})
    page = written(home, tmp_path)
    assert "<h2>Alerts of caps</h2>" in page
    assert "&lt;i&gt;a&lt;/i&gt;" in page


def test_directory_is_refused(home: HomeBuilder, tmp_path: Path) -> None:
    result = run(home, "report", "--html", str(tmp_path))
    assert result.code == 2
    assert "it is a directory" in result.err
    assert run(home, "report", "--html", str(tmp_path / "no" / "r.html")).code == 1


def test_empty_home_has_a_page(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home", database=False)
    assert "No sweep has changed anything here yet." in written(home, tmp_path)


def test_libraries_are_those_that_were_published() -> None:
    """What is vendored is what npm has under this name and version, byte for byte, with its licence."""
    vendored = json.loads((VENDOR / "VENDORED.json").read_text())
    assert [(one["name"], one["version"], one["licence"]) for one in vendored] == [
        ("chart.js", "4.6.1", "MIT"),
        ("chartjs-chart-treemap", "4.2.2", "MIT"),
    ]
    for one in vendored:
        assert hashlib.sha256((VENDOR / one["file"]).read_bytes()).hexdigest() == one["sha256"]
        assert "Permission is hereby granted" in (VENDOR / one["licence_file"]).read_text()
    assert sum((VENDOR / one["file"]).stat().st_size for one in vendored) < 400_000
    known = {"VENDORED.json", *(one[key] for one in vendored for key in ("file", "licence_file"))}
    assert {path.name for path in VENDOR.iterdir()} == known
