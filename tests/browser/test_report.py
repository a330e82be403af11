"""The page of the report in a real browser: it draws, loads nothing, and runs nothing that a title says.

With ``REPORT_PICTURES=DIR`` the pictures are kept there, to be looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium, Opened
from homes import DAY, HOUR, NOW, HomeBuilder
from program import run

HOSTILE = (
    "</script><script>document.title='taken over'</script>",
    "<img src=https://example.invalid/x onerror=\"document.title='taken over'\">",
    "--><script>document.title='taken over'</script><!-- ]]> \u2028 & '\"",
)
CHARTS = ["over-time", "treemap", "largest", "jobs", "sweeps", "forecast"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    home = HomeBuilder(folder / "home")
    for number, title in enumerate(HOSTILE):
        name = f"2026111{number}_080000_aaaaaaaa"
        home.session(name, age=HOUR, ended=None, files=(), messages=50 + number, title=title)
        home.file(f"session_{name}.json", b"x" * 300_000, age=HOUR)
    for number in range(1, 60):
        home.session(f"20261001_0800{number:02}_bbbbbbbb", age=number * DAY, messages=9, ended="expired")
        home.session(
            f"cron_<b>news{number % 3}_20261001_0900{number:02}",
            source="cron",
            age=number * DAY / 2,
            messages=5,
            ended="cron_complete",
        )
    for days in (20, 10, 0):
        assert run(home, "sweep", "--yes", now=NOW - days * DAY).code == 0
    assert run(home, "report", "--html", str(folder / "report.html"), "--days", "60").code == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(
    params=[(1280, False), (1280, True), (390, False), (390, True)],
    ids=["desk", "desk-dark", "phone", "phone-dark"],
)
def page(request: pytest.FixtureRequest, browser: Chromium, report: Path, tmp_path: Path) -> Opened:
    width, dark = request.param
    opened = browser.open(report, width=width, dark=dark)
    pictures = Path(os.environ.get("REPORT_PICTURES") or tmp_path)
    assert len(opened.picture(pictures / f"{request.node.callspec.id}.png")) > 20_000
    return opened


def test_every_chart_is_drawn(page: Opened) -> None:
    assert page.evaluate("document.documentElement.dataset.drawn") == str(len(CHARTS))
    drawn = """[...document.querySelectorAll("canvas")].map((canvas) => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [canvas.id, data.some((value) => value !== 0)];
    })"""
    assert page.evaluate(drawn) == [[name, True] for name in CHARTS]


def test_nothing_is_loaded(page: Opened, report: Path) -> None:
    assert page.asked_for() == [report.as_uri()]


def test_no_title_runs(page: Opened) -> None:
    assert page.evaluate("document.title").startswith("Retention report of ")
    assert page.evaluate("document.images.length") == 0
    shown = page.evaluate("document.body.textContent")
    assert all(title.splitlines()[0][:40] in shown for title in HOSTILE)
    assert page.complaints() == []


def test_what_is_injected_does_not_run(page: Opened) -> None:
    """The last line of defence: the page's own policy."""
    page.evaluate(
        "const it = document.createElement('script'); it.textContent = \"document.title = 'taken over'\";"
        "document.body.append(it)"
    )
    assert page.evaluate("document.title") != "taken over"
    assert any("Content Security Policy" in line for line in page.complaints())


def test_it_fits_the_screen(page: Opened) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_it_follows_the_scheme(browser: Chromium, report: Path) -> None:
    colours = []
    for dark in (False, True):
        opened = browser.open(report, width=800, dark=dark)
        colours.append(opened.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(255, 255, 255)", "rgb(18, 21, 28)"]


def test_without_scripts_the_tables_are_there(browser: Chromium, report: Path) -> None:
    opened = browser.open(report, width=800, dark=False)
    assert opened.evaluate("document.querySelectorAll('table').length") == 5
