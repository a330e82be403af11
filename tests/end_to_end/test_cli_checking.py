"""``doctor`` and ``metrics``."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path

import pytest
from homes import DAY, HomeBuilder
from program import run

OLD, NEW = "20261010_080000_bbbbbbbb", "20261119_090000_cccccccc"


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """One archived session and one that stays; nothing is wrong with them."""
    builder = HomeBuilder(tmp_path / "home").session(OLD, age=41 * DAY).session(NEW, age=DAY / 4, ended=None)
    assert run(builder, "sweep", "--yes").code == 0
    return builder


def findings(home: HomeBuilder | Path) -> dict[str, tuple[str, str]]:
    """Check → level and what was found, of the worst finding of each."""
    order = ["good", "note", "warning", "error"]
    found = sorted(run(home, "doctor", "--json").json["findings"], key=lambda one: order.index(one["level"]))
    return {one["check"]: (one["level"], one["what"]) for one in found}


def test_healthy_home_needs_nobody(home: HomeBuilder) -> None:
    result = run(home, "doctor")
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith("Nothing needs your attention.\n")
    assert {level for level, _ in findings(home).values()} <= {"good", "note"}


def test_it_changes_nothing(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(OLD, age=41 * DAY)
    assert run(home, "doctor").code == 0
    assert not (home.path / "retention").exists()


def test_wrong_settings_do_not_hide_the_rest(home: HomeBuilder) -> None:
    (home.path / ".env").write_text("HERMES_RETENTION_MODUS=enforce\n")
    result = run(home, "doctor")
    assert result.code == 2
    assert "the nearest is HERMES_RETENTION_MODE" in result.out
    assert findings(home)["archive"][0] == "good"


def test_damaged_partition(home: HomeBuilder) -> None:
    (home.path / "retention" / "archive" / "2026-01.db").write_bytes(b"garbage")
    result = run(home, "doctor")
    assert (result.code, "archive verify" in result.out) == (5, True)


def test_unreadable_store(home: HomeBuilder) -> None:
    (home.path / "state.db").write_bytes(b"garbage " * 100)
    result = run(home, "doctor")
    assert (result.code, "hermes sessions repair" in result.out) == (4, True)


def test_home_without_sessions_of_a_known_host(tmp_path: Path) -> None:
    assert run(tmp_path, "doctor").code == 4


def test_sources_that_nobody_knows_are_told_once(home: HomeBuilder) -> None:
    for number, source in enumerate(["odd", "odd", "new\nline", *"abcde"]):
        home.session(f"s{number}", source=source, age=DAY)
    told = [one for one in run(home, "doctor", "--json").json["findings"] if one["check"] == "sources"]
    assert [(one["level"], one["what"]) for one in told] == [
        (
            "note",
            "sessions of sources that are not known here: odd (2), a (1), b (1), c (1), d (1) and 2 more",
        )
    ]


def test_archive_that_others_may_read(home: HomeBuilder) -> None:
    os.chmod(home.path / "retention" / "archive" / "2026-10.db", 0o644)
    assert findings(home)["rights"][0] == "warning"
    assert run(home, "doctor").code == 1


def test_host_that_deletes_by_itself(home: HomeBuilder) -> None:
    (home.path / "config.yaml").write_text("sessions: {auto_prune: true}\n")
    level, what = findings(home)["host configuration"]
    assert (level, "auto_prune" in what) == ("warning", True)


def test_files_that_a_dead_sweep_took_aside(home: HomeBuilder) -> None:
    agent = home.path / "retention" / "aside" / "main"
    agent.mkdir()
    assert "left over" not in findings(home)
    (agent / "x.json").write_text("{}")
    level, what = findings(home)["left over"]
    assert (level, "died: 1, such as x.json" in what) == ("warning", True)


def test_little_room_on_the_disk(home: HomeBuilder) -> None:
    (home.path / ".env").write_text("HERMES_RETENTION_KEEP_FREE=1000TB\n")
    assert findings(home)["disk"][0] == "warning"


def test_holds_that_cannot_be_read(home: HomeBuilder) -> None:
    (home.path / "retention" / "holds.json").write_text("{")
    assert findings(home)["holds"][0] == "error"


def test_sweep_that_runs_is_told(home: HomeBuilder) -> None:
    with (home.path / "retention" / "sweep.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert findings(home)["lock"][0] == "note"


def samples(text: str) -> dict[str, float]:
    found = re.findall(r'^hermes_retention_(\w+)\{home="[^"]*"(?:,(.*))?\} (\S+)$', text, re.MULTILINE)
    return {f"{name}{{{labels}}}" if labels else name: float(value) for name, labels, value in found}


def test_metrics_tell_what_is_there(home: HomeBuilder) -> None:
    run(home, "hold", "add", NEW)
    measured = samples(run(home, "metrics").out)
    assert measured['sessions{class="chat",liveness="live"}'] == 1
    assert (measured["archived_sessions"], measured["held_sessions"], measured["archive_readable"]) == (
        1,
        1,
        1,
    )
    assert measured["last_sweep_failed_sessions"] == 0
    assert measured['used_bytes{part="archive"}'] > 0


def test_every_metric_has_its_help_and_type(home: HomeBuilder) -> None:
    out = run(home, "metrics").out
    names = set(re.findall(r"^(\w+)\{", out, re.MULTILINE))
    assert names == set(re.findall(r"^# HELP (\w+) ", out, re.MULTILINE))
    assert names == set(re.findall(r"^# TYPE (\w+) gauge$", out, re.MULTILINE))
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md"
    assert names == set(re.findall(r"^\| `(\w+)`", page.read_text(encoding="utf-8"), re.MULTILINE))


def test_damaged_archive_is_a_metric_and_no_failure(home: HomeBuilder) -> None:
    (home.path / "retention" / "archive" / "2026-01.db").write_bytes(b"garbage")
    result = run(home, "metrics")
    assert (result.code, samples(result.out)["archive_readable"]) == (0, 0)


def test_each_sweep_writes_the_metrics_file(home: HomeBuilder, tmp_path: Path) -> None:
    target = tmp_path / "collector" / "hermes.prom"
    target.parent.mkdir()
    (home.path / ".env").write_text(f"HERMES_RETENTION_METRICS_FILE={target}\n")
    assert run(home, "sweep", "--yes", "--dry-run").code == 0
    assert not target.exists()
    assert run(home, "sweep", "--yes").code == 0
    assert samples(target.read_text())["archived_sessions"] == 1
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_metrics_file_that_cannot_be_written_is_a_warning(home: HomeBuilder, tmp_path: Path) -> None:
    (home.path / ".env").write_text(f"HERMES_RETENTION_METRICS_FILE={tmp_path / 'nowhere' / 'x.prom'}\n")
    result = run(home, "sweep", "--yes")
    assert (result.code, "the metrics cannot be written" in result.err) == (0, True)
    assert run(home, "metrics", "--to", str(tmp_path / "nowhere" / "x.prom")).code == 1


@pytest.mark.parametrize("text", ["metrics.prom", "./x"])
def test_metrics_file_needs_its_whole_path(home: HomeBuilder, text: str) -> None:
    (home.path / ".env").write_text(f"HERMES_RETENTION_METRICS_FILE={text}\n")
    assert run(home, "sweep").code == 2
