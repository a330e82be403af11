"""The tour of ``demo``: build a leaking home, sweep it, restore a session, prove that nothing is lost.

No setting and no home of the person who runs it is read. The proof takes nobody's word for it: it hashes the
bytes on disk before, and those read back after. What must not live here: how a home is made up (``home``).
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from hermes_retention.actions.restore.restore import restore_sessions
from hermes_retention.actions.sweep.report import SweepReport
from hermes_retention.actions.sweep.sweep import sweep
from hermes_retention.archive.vault import Vault
from hermes_retention.cli.demo.home import DAYS, Made, build_home
from hermes_retention.cli.output.page import Column, Fit, Page, Style, Table, titled
from hermes_retention.cli.output.words import because
from hermes_retention.home.home import Home
from hermes_retention.home.open import open_home
from hermes_retention.home.workspace import Hold
from hermes_retention.model.errors import ExitCode
from hermes_retention.model.plan import Action, Liveness, Rule, Step, Tier
from hermes_retention.model.session import ROW_KINDS, ArtifactKind, SessionClass, Usage
from hermes_retention.model.text import counted, format_size
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


# -- whether every file is somewhere as it was -------------------------------------------------------


class Print(msgspec.Struct, frozen=True, gc=False):
    """A file's fingerprint: all that has to come back."""

    size_bytes: int
    sha256: bytes
    mtime_ns: int
    mode: int


class Comparison(msgspec.Struct, frozen=True):
    """What became of the files that there were; ``lost`` names those that are nowhere as they were."""

    in_place: int
    in_vault: int
    lost: tuple[str, ...]


def prints_of_files(directory: Path) -> dict[str, Print]:
    """The fingerprints of all files directly in ``directory``, by name."""
    return {path.name: _print_of_file(path) for path in sorted(directory.iterdir()) if path.is_file()}


def prints_in_vault(vault: Vault) -> dict[str, Print]:
    """The fingerprints of all archived files, each read back in full. Raises ``VaultDamaged``."""
    found = {}
    with vault.reader() as reader:
        for artifact in vault.artifacts():
            if artifact.kind in ROW_KINDS:
                continue
            digest, size = hashlib.sha256(), 0
            for piece in reader.read(artifact):
                digest.update(piece)
                size += len(piece)
            found[artifact.name] = Print(size, digest.digest(), artifact.mtime_ns, artifact.mode)
    return found


def compare(
    before: Mapping[str, Print], in_store: Mapping[str, Print], in_vault: Mapping[str, Print]
) -> Comparison:
    """Every file of ``before`` must be in the store as it was, or else in the vault as it was."""
    placed = {name for name, was in before.items() if in_store.get(name) == was}
    archived = {name for name, was in before.items() if name not in in_store and in_vault.get(name) == was}
    return Comparison(len(placed), len(archived), tuple(sorted(before.keys() - placed - archived)))


def _print_of_file(path: Path) -> Print:
    status = path.stat()
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
    return Print(status.st_size, digest, status.st_mtime_ns, stat.S_IMODE(status.st_mode))


# -- what is shown -----------------------------------------------------------------------------------


_SHOWN_DIGITS = 24
"""Of 64 hexadecimal digits of a sha256. All of them are compared."""
_LOST_SHOWN = 10
_NEXT = (
    ("sweep --dry-run", "what would go from your own home, and why; changes nothing"),
    ("sweep", "the same in earnest; the first one asks before it removes anything"),
    ("undo", "puts back everything that the last sweep archived"),
    ("settings", "every setting, its value, and where it comes from"),
)


class Balance(msgspec.Struct, frozen=True):
    """Numbers of files, and what everything takes, before and after the sweep."""

    files_before: int
    files_after: int
    files_archived: int
    before: Usage
    after: Usage


def show_balance(page: Page, report: SweepReport, balance: Balance) -> None:
    """Files and bytes before and after."""
    columns = (Column(""), *(Column(title, right=True) for title in ("files", "before", "files", "after")))
    before, after = balance.before, balance.after
    rows = [
        _row(
            "sessions/",
            before.sessions_bytes,
            after.sessions_bytes,
            balance.files_before,
            balance.files_after,
        ),
        _row("state.db, used", before.database_bytes, after.database_bytes),
        ("archive, ledger", "", "", _number(balance.files_archived), format_size(_own(after))),
        _row("together", before.total_bytes, after.total_bytes),
    ]
    page.line()
    page.table(Table(columns, rows, last_is_total=True))
    page.line()
    share = 1 - after.total_bytes / before.total_bytes
    page.line(f"{share:.0%} freed in {report.seconds:.1f} s with the default settings.", Style.GOOD)


def _row(
    name: str, before: int, after: int, files_before: int | None = None, files_after: int | None = None
) -> tuple[str, ...]:
    numbers = ["" if number is None else _number(number) for number in (files_before, files_after)]
    return name, numbers[0], format_size(before), numbers[1], format_size(after)


def _own(usage: Usage) -> int:
    """What archive, ledger and holds take."""
    return usage.vault_bytes + usage.ledger_bytes


def _number(count: int) -> str:
    return f"{count:,}"


class _Group(msgspec.Struct):
    """Sessions that met the same end for the same reason."""

    classes: set[SessionClass]
    sessions: int = 0
    bytes: int = 0

    @property
    def class_name(self) -> str:
        """The class of all of them, if there is one."""
        return next(iter(self.classes)).value if len(self.classes) == 1 else "several"


def show_reasons(page: Page, steps: Sequence[Step]) -> None:
    """What went, by class and rule, and what stays, by rule."""
    gone = [step for step in steps if step.action is not Action.KEEP]
    kept = [step for step in steps if step.action is Action.KEEP]
    right = titled(">sessions", ">size")
    columns = (Column(""), *right, Column("class"), Column("why", fit=Fit.WORDS))
    rows = [*_rows("archived", gone, one_class=True), *_rows("kept", kept, one_class=False)]
    page.line()
    page.table(Table(columns, rows))


def _rows(title: str, steps: Iterable[Step], *, one_class: bool) -> Iterator[tuple[str, ...]]:
    groups: dict[tuple[str, str], _Group] = {}
    for step in steps:
        by_class = one_class and step.tier is Tier.FILES
        key = (step.session_class.value if by_class else "", _why(step))
        group = groups.setdefault(key, _Group(set()))
        group.classes.add(step.session_class)
        group.sessions += 1
        group.bytes += step.bytes
    for number, ((_, why), group) in enumerate(sorted(groups.items(), key=lambda item: -item[1].bytes)):
        yield (
            "" if number else title,
            _number(group.sessions),
            format_size(group.bytes) if group.bytes else "–",
            group.class_name,
            why,
        )


def _why(step: Step) -> str:
    if step.liveness is Liveness.ORPHAN:
        return "orphans: their records are gone, their files are not"
    if step.rule is Rule.DUMPS_AFTER:
        return "request dumps older than DUMPS_AFTER; the session stays"
    return step.reason if step.rule is Rule.HELD else because(step)


def show_restored(page: Page, step: Step, before: Mapping[str, Print], back: Mapping[str, Print]) -> None:
    """The files of one session as they were before the sweep, and as they came back."""
    page.line()
    page.line(f"Session {step.session_id} restored from the archive:", Style.TITLE)
    page.line()
    titles = titled("file", "", ">size")
    rows = []
    for artifact in step.artifacts:
        rows.append((artifact.kind.value, "was", *_described(before.get(artifact.name))))
        rows.append(("", "is", *_described(back.get(artifact.name))))
    page.table(Table((*titles, Column("sha256"), Column("modified"), Column("mode")), rows))


def _described(found: Print | None) -> tuple[str, str, str, str]:
    if found is None:
        return "missing", "", "", ""
    seconds, nanoseconds = divmod(found.mtime_ns, 10**9)
    return (
        f"{found.size_bytes:,}",
        f"{found.sha256.hex()[:_SHOWN_DIGITS]}…",
        f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z",
        f"{found.mode:04o}",
    )


def show_proof(page: Page, comparison: Comparison) -> None:
    """Whether every file is somewhere as it was."""
    page.line()
    if comparison.lost:
        lost = counted(len(comparison.lost), "file")
        page.line(f"NOT PROVED: {lost} cannot be found as they were:", Style.BAD)
        for name in comparison.lost[:_LOST_SHOWN]:
            page.line(f"  {name}", Style.BAD)
        return
    page.line(
        f"All {comparison.in_vault:,} archived files read back with the bytes, time and mode they had; "
        f"the other {comparison.in_place:,} are untouched.",
        Style.GOOD,
    )


def show_next_steps(page: Page) -> None:
    """What to try next."""
    page.line()
    width = max(len(command) for command, _ in _NEXT)
    for command, meaning in _NEXT:
        page.line(f"hermes-retention {command:{width}}  {meaning}")
