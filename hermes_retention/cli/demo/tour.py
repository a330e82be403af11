"""``hermes-retention demo``: build a leaking home, sweep it, restore a session, prove that nothing is lost.

No setting and no home of the person who runs it is read. What must not live here: how a home is made up
(``home``) and compared (``proof``), and how a page looks.
"""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hermes_retention.actions.restore.restore import restore_sessions
from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.cli.demo.home import DAYS, Made, build_home
from hermes_retention.cli.demo.proof import Print, compare, prints_in_vault, prints_of_files
from hermes_retention.cli.demo.show import (
    Balance,
    show_balance,
    show_next_steps,
    show_proof,
    show_reasons,
    show_restored,
)
from hermes_retention.cli.output.page import Page, Style
from hermes_retention.home.holds import Hold
from hermes_retention.home.home import Home
from hermes_retention.home.open import open_home
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.plan import Action, Step, Tier
from hermes_retention.model.session import ArtifactKind, SessionClass
from hermes_retention.plugins import Extensions

Clock = Callable[[], float]
_HELD_BECAUSE = "the lease is not signed yet"


def run_demo(page: Page, *, clock: Clock, keep: bool = False) -> int:
    """Show the whole program on a home of its own; returns 0 only if every file came back as it was.

    The home lies in a temporary directory, which is removed at the end unless ``keep`` asks for it. Raises
    ``RetentionError`` when the sweep or the restore cannot run at all, ``OSError`` when the disk is full.
    """
    with _directory(keep=keep) as directory:
        home = directory / "hermes"
        home.mkdir(mode=0o700)
        made = build_home(home, now=clock())
        page.line("A Hermes home that nobody looks after, made up in a temporary directory:", Style.TITLE)
        page.line(f"{made.sessions} sessions in {DAYS} days, {made.cron_runs} of them runs of cron jobs.")
        is_proved = _tour(page, _open(home), made, clock)
        show_next_steps(page)
        if keep:
            page.line(f"The made-up home is kept: try them on it with --home {shlex.quote(str(home))}")
    return ExitCode.DONE if is_proved else ExitCode.SOME_FAILED


def _tour(page: Page, home: Home, made: Made, clock: Clock) -> bool:
    files = home.store.files_directory
    with home.workspace.locked():
        home.workspace.holds.add(made.to_hold, Hold(_HELD_BECAUSE, since=clock()))
    usage, before = home.usage(), prints_of_files(files)
    report = sweep(home, clock=clock, origin="demo")
    after, archived = prints_of_files(files), prints_in_vault(home.workspace.vault)
    comparison = compare(before, after, archived)
    show_balance(page, report, Balance(len(before), len(after), len(archived), usage, home.usage()))
    show_reasons(page, report.steps)
    is_same = _restore_one(page, home, report, before, now=clock())
    show_proof(page, comparison)
    return is_same and not comparison.lost and comparison.in_vault > 0 and report.exit_code is ExitCode.DONE


def _restore_one(
    page: Page, home: Home, report: SweepReport, before: Mapping[str, Print], *, now: float
) -> bool:
    """Put a chat back and show its files as they were and as they are; whether they are the same."""
    chosen = max(filter(_is_archived_chat, report.steps), key=_has_a_transcript)
    restore_sessions(home, [chosen.session_id], now=now)
    back = prints_of_files(home.store.files_directory)
    show_restored(page, chosen, before, back)
    return all(back.get(artifact.name) == before[artifact.name] for artifact in chosen.artifacts)


def _is_archived_chat(step: Step) -> bool:
    is_archived = step.action is Action.ARCHIVE and step.tier is Tier.FILES
    return is_archived and step.session_class is SessionClass.CHAT


def _open(home: Path) -> Home:
    """The home with the default settings: an empty environment, and no files that could say otherwise."""
    return open_home(home, store="hermes", environ={}, extensions=Extensions)


def _has_a_transcript(step: Step) -> tuple[bool, int]:
    """Prefers a session of two files of different kinds."""
    return any(artifact.kind is ArtifactKind.TRANSCRIPT for artifact in step.artifacts), -len(step.artifacts)


@contextlib.contextmanager
def _directory(*, keep: bool) -> Iterator[Path]:
    prefix = "hermes-retention-demo-"
    if keep:
        yield Path(tempfile.mkdtemp(prefix=prefix))
        return
    with tempfile.TemporaryDirectory(prefix=prefix) as directory:
        yield Path(directory)
