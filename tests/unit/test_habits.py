"""What the checks of this repository promise: of messages, of fragments, and that each check is run."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest
import yaml

TREE = Path(__file__).resolve().parents[2]
KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")
ASKED_FOR_ONLY = {"bench", "torture"}
"""Environments that take hours, or whose figures mean nothing on a machine that others use."""


def complaint(tmp_path: Path, message: str) -> str:
    """What the check says of a commit message; empty when it takes it."""
    path = tmp_path / "COMMIT_EDITMSG"
    path.write_text(message)
    checked = subprocess.run(
        [TREE / ".ci" / "check-commit-message", path], capture_output=True, text=True, check=False
    )
    assert (checked.returncode == 0) == (not checked.stderr)
    return checked.stderr


@pytest.mark.parametrize(
    "message",
    [
        "Keep snapshots whose route was restored\n\nNobody would find them.\n",
        f"{'x' * 72}\n\nWhy.\n# a comment of git\n",
        "Subject\n\nWhy.\n# ------------------------ >8 ------------------------\ndiff\n",
        "Merge branch 'elsewhere'\n",
        "fixup! Keep snapshots\n",
    ],
)
def test_message_is_taken(tmp_path: Path, message: str) -> None:
    assert complaint(tmp_path, message) == ""


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("\n\nWhy.\n", "empty"),
        (f"{'x' * 73}\n\nWhy.\n", "73 characters"),
        ("Keep snapshots.\n\nWhy.\n", "full stop"),
        ("Keep snapshots\nWhy.\n", "second line"),
        ("Keep snapshots\n", "no body"),
        ("Keep snapshots\n\n# Only what git wrote.\n", "no body"),
    ],
)
def test_message_is_refused(tmp_path: Path, message: str, says: str) -> None:
    assert says in complaint(tmp_path, message)


def test_fragments_are_written_for_people() -> None:
    for path in sorted((TREE / "changelog.d").iterdir()):
        if path.name in {"README.md", "template.md.jinja"}:
            continue
        assert re.fullmatch(rf"(\d+|\+[a-z0-9-]+)\.({'|'.join(KINDS)})\.md", path.name), path.name
        text = path.read_text("utf-8")
        assert re.fullmatch(r"[^\s#*-][\s\S]*[.)]\n", text), f"{path.name} is no sentence"
        assert "\n\n" not in text, f"{path.name} is more than one paragraph"


def test_every_check_is_run_in_both_places() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read_string((TREE / "tox.ini").read_text("utf-8"))
    named = {section.removeprefix("testenv:") for section in tox if section.startswith("testenv:")}
    workflow = yaml.safe_load((TREE / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    wanted = named - ASKED_FOR_ONLY
    assert set(workflow["jobs"]["checks"]["strategy"]["matrix"]["environment"]) == wanted
    words = set(re.findall(r"[a-z0-9]+", (TREE / ".ci" / "run").read_text("utf-8")))
    assert wanted <= words


def test_nothing_is_run_for_a_release_that_has_an_address_in_it() -> None:
    for path in (".github/workflows/release.yml", ".ci/release", "RELEASING.md"):
        addresses = re.findall(r"https?://[^\s)]*", (TREE / path).read_text("utf-8"))
        assert set(addresses) <= {"https://semver.org/"}, path


def test_decisions_are_dated_listed_and_say_why() -> None:
    folder = TREE / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("*.md") if path.name != "index.md")
    index = (folder / "index.md").read_text("utf-8")
    assert sorted(re.findall(r"^- \[.+\]\((.+)\)$", index, re.MULTILINE)) == records
    for name in records:
        parts = re.fullmatch(
            r"# .+\n\n(\d{4}-\d\d-\d\d)\. (?:Stands|Replaced by \[.+\]\(.+\))\.\n\n"
            r"\*\*Context\.\*\* [^*]+\n\n\*\*Decision\.\*\* [^*]+\n\n\*\*Consequences\.\*\* [^*]+\n",
            (folder / name).read_text("utf-8"),
        )
        assert parts is not None, f"{name} has another form"
        assert name.startswith(f"{parts[1]}-")
