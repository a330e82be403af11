"""Who watches a sweep: what was found, and a bar that counts the steps of the plan."""

from __future__ import annotations

import io

import msgspec
from inventories import FILE_BYTES, NOW, chat, inventory
from rich.console import Console
from verdicts import Verdict

from hermes_retention.cli.output.sweep import BarWatch, Found, count
from hermes_retention.home.ledger import Outcome
from hermes_retention.model.plan import Liveness, Plan, Rule, Step
from hermes_retention.model.session import Inventory, SessionClass, Usage


def found_home() -> Inventory:
    usage = Usage(FILE_BYTES, database_bytes=5000)
    return msgspec.structs.replace(inventory(chat("a"), chat("b", files=False)), usage=usage)


def step(verdict: Verdict) -> Step:
    return Step("a", SessionClass.CHAT, Liveness.ENDED, *verdict.axes, Rule.FILES_AFTER, "due")


def test_files_and_the_used_part_of_the_database_are_found() -> None:
    assert count(found_home()) == Found(sessions=2, files=1, bytes=FILE_BYTES, database_bytes=5000)


def test_bar_counts_steps() -> None:
    stream = io.StringIO()
    steps = (step(Verdict.ARCHIVE_FILES), step(Verdict.ARCHIVE_MESSAGES), step(Verdict.KEEP))
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with BarWatch(console) as watch:
        watch.planned(found_home(), Plan("/home/ada/.hermes", NOW, steps))
        watch.done(Outcome(steps[0]))
    assert "1/2 steps" in stream.getvalue()
    assert watch.found.sessions == 2
