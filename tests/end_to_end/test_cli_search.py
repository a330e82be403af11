"""``search`` and the forms of ``archive export``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from homes import DAY, NOW, HomeBuilder
from program import aged, run, type_at

SESSION = "20261010_080000_bbbbbbbb"
SAID = 'a naïve "x"\n\x1b[31mred'


def fill(home: HomeBuilder, *, age: float) -> HomeBuilder:
    home.session(SESSION, age=age, title="A trip to Lisbon", user_id="ann", files=(), messages=0)
    said = {
        "session_id": SESSION,
        "role": "user",
        "content": 'a naïve "x"\n\x1b[31mred',
        "timestamp": NOW - age,
    }
    home.insert("messages", said)
    home.insert("messages", said | {"role": "tool", "tool_name": "ls", "content": "naïve " * 500})
    return home


@pytest.fixture
def home(tmp_path: Path) -> HomeBuilder:
    """A session whose messages and tool output are archived."""
    builder = fill(HomeBuilder(tmp_path / "home"), age=100 * DAY)
    assert run(builder, "sweep", "--yes").code == 0
    return builder


def test_result_names_session_date_and_the_way_back(home: HomeBuilder) -> None:
    result = run(home, "search", 'naïve "x"')
    assert result.code == 0
    assert f"{SESSION}  2026-08-12 12:00Z  chat, telegram  1 message\n  A trip to Lisbon\n" in result.out
    assert '  user: a naïve "x" \\x1b[31mred\n' in result.out
    assert f"hermes-retention restore {SESSION}\n" in result.out


def test_several_words_are_one_text(home: HomeBuilder) -> None:
    assert run(home, "search", "naïve", '"x"').out == run(home, "search", 'naïve "x"').out


def test_result_as_json(home: HomeBuilder) -> None:
    answer = run(home, "search", "--regex", "na.ve", "--user", "ann", "--json").json
    (found,) = answer["sessions"]
    assert (found["session_id"], found["hits"], found["in_archive"]) == (SESSION, 2, True)
    assert [one["role"] for one in found["excerpts"]] == ["user", "tool"]
    assert found["excerpts"][0]["match"] == "naïve"


def test_nothing_found_is_no_failure(home: HomeBuilder) -> None:
    result = run(home, "search", "zebra")
    assert (result.code, result.out) == (0, "Nothing was found.\n")


@pytest.mark.parametrize("option", [("--since", "2026-11-31"), ("--until", "30"), ("--limit", "0")])
def test_wrong_option_is_wrong_usage(home: HomeBuilder, option: tuple[str, str]) -> None:
    assert run(home, "search", "x", *option).code == 2


def test_days_are_whole_days_in_utc(home: HomeBuilder) -> None:
    for since, until, found in (("2026-08-12", "2026-08-12", 1), ("2026-08-13", "1d", 0), ("200d", "1d", 1)):
        answer = run(home, "search", "naïve", "--since", since, "--until", until, "--json").json
        assert len(answer["sessions"]) == found


def test_damaged_archive_is_told_by_the_exit_code(home: HomeBuilder) -> None:
    (home.path / "retention" / "archive" / "2026-07.db").write_bytes(b"garbage")
    result = run(home, "search", "naïve")
    assert (result.code, result.out.count(SESSION)) == (5, 3)
    assert "warning: " in result.err


def test_match_stands_out_on_a_terminal(tmp_path: Path) -> None:
    home = fill(HomeBuilder(tmp_path / "home"), age=aged(100 * DAY))
    arguments = ("--home", str(home.path), "search", "--live", "naïve")
    assert "\x1b[1;35mnaïve\x1b[0m" in type_at(*arguments).out


def test_markdown_has_the_whole_conversation(home: HomeBuilder) -> None:
    out = run(home, "archive", "export", SESSION, "--as", "markdown", "--to", "-").out
    assert out.startswith(f"# A trip to Lisbon\n\n- session: {SESSION}\n")
    assert '## user, 2026-08-12T12:00:00Z\n\na naïve "x"\n' in out
    assert f"## tool (ls), 2026-08-12T12:00:00Z\n\n```\n{'naïve ' * 500}\n```\n" in out


def test_json_has_every_column_of_every_message(home: HomeBuilder) -> None:
    answer = run(home, "archive", "export", SESSION, "--as", "json", "--to", "-").json
    assert (answer["session_id"], answer["user_id"]) == (SESSION, "ann")
    assert [message["content"] for message in answer["messages"]] == [
        'a naïve "x"\n\x1b[31mred',
        "naïve " * 500,
    ]
    assert {"id", "timestamp", "active"} <= answer["messages"][0].keys()


def test_lines_of_json_go_into_a_file_that_is_not_overwritten(home: HomeBuilder, tmp_path: Path) -> None:
    there = tmp_path / "found"
    result = run(home, "archive", "export", SESSION, "--as", "jsonl", "--to", str(there))
    assert result.code == 0
    lines = (there / f"{SESSION}.jsonl").read_text().splitlines()
    assert [json.loads(line)["role"] for line in lines] == ["user", "tool"]
    again = run(home, "archive", "export", SESSION, "--as", "jsonl", "--to", str(there))
    assert (again.code, "not overwritten" in again.out) == (1, True)


def test_conversation_comes_from_files_where_only_these_are_archived(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(SESSION, age=41 * DAY, files=())
    snapshot = json.dumps({"messages": [{"role": "user", "content": "from the file"}]}).encode()
    home.file(f"session_{SESSION}.json", snapshot, age=41 * DAY)
    run(home, "sweep", "--yes")
    assert "from the file" in run(home, "archive", "export", SESSION, "--as", "markdown", "--to", "-").out


def test_original_files_do_not_fit_on_standard_output(home: HomeBuilder) -> None:
    assert run(home, "archive", "export", SESSION, "--to", "-").code == 2
