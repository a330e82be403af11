"""Whether everything is in order: rights, disk, locks, host, archive, ledger; each finding with its cure.

Nothing is changed, and nothing that is found ends the examination. What must not live here: output.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from hermes_retention.actions.sweep.mode import SweepMode, sweep_mode
from hermes_retention.archive.partition import Partition
from hermes_retention.home.find import VARIABLE, oddity_of_variable
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import SweepRow
from hermes_retention.home.workspace import free_bytes
from hermes_retention.model.errors import ExitCode, RetentionError, SettingsError, VaultDamaged
from hermes_retention.model.text import format_duration, format_size, printable
from hermes_retention.settings.forms import Mode
from hermes_retention.stores.base import Finding, Level

_DAY = 86400
_LITTLE_FREE_BYTES = 500_000_000
_SILENT_DAYS = 3
"""After so many days without a sweep somebody should ask why."""
_SOURCES_TOLD = 5
_SHARED_BITS = stat.S_IRWXG | stat.S_IRWXO

Examine = Callable[[Home], Iterator[Finding]]


def examine(home: Home, *, now: float) -> Iterator[Finding]:
    """Look at everything, in an order that goes from causes to consequences."""
    mode = home.mode
    checks: tuple[tuple[str, Examine], ...] = (
        ("mode", lambda it: _mode(it, now=now)),
        ("rights", _rights),
        ("disk", _disk),
        ("store", lambda it: _store(it, now=now)),
        ("host", lambda it: _host(it, now=now)),
        ("lock", _lock),
        ("ledger", lambda it: _ledger(it, mode, now=now)),
        ("archive", _archive),
        ("left over", _left_over),
        ("holds", _holds),
    )
    for name, check in checks:
        try:
            yield from check(home)
        except (RetentionError, OSError, sqlite3.Error) as error:
            yield failed(name, error)


def look_at_variable(environ: Mapping[str, str]) -> list[Finding]:
    """What others than the host may read differently in the variable that names the home."""
    oddity = oddity_of_variable(environ)
    if oddity is None:
        return []
    return [Finding("home", Level.WARNING, oddity, f"Set {VARIABLE} to the whole path and nothing else.")]


def failed(check: str, error: Exception) -> Finding:
    """The finding for a check that met an error."""
    if isinstance(error, RetentionError):
        what = f"{error.what}: {error.why}" + (f"; {error.consequence}" if error.consequence else "")
        if not isinstance(error, SettingsError):  # only its lines are meant as lines
            what = printable(what)
        return Finding(check, Level.ERROR, what, error.cure)
    said = error.strerror if isinstance(error, OSError) else str(error)
    return Finding(check, Level.ERROR, f"it cannot be looked at ({printable(str(said)).lower()})")


def exit_code(findings: list[Finding]) -> ExitCode:
    """For monitoring: 0 when nothing needs a person, else what is worst."""
    worst = {finding.check for finding in findings if finding.level is Level.ERROR}
    if "archive" in worst:
        return ExitCode.VAULT_DAMAGED
    if "store" in worst:
        return ExitCode.STORE_UNREADABLE
    if "settings" in worst:
        return ExitCode.USAGE
    bad = any(finding.level in (Level.ERROR, Level.WARNING) for finding in findings)
    return ExitCode.SOME_FAILED if bad else ExitCode.DONE


def _mode(home: Home, *, now: float) -> Iterator[Finding]:
    try:
        mode = sweep_mode(home, now=now)
    except RetentionError:  # the check of the ledger tells of it
        mode = SweepMode(home.mode)
    what = "; ".join(filter(None, (mode.words(now=now), mode.next_words(now=now))))
    if home.mode in (Mode.OFF, Mode.OBSERVE):
        yield Finding("mode", Level.NOTE, what, "Set it to enforce when you are sure.")
    elif home.mode is Mode.ENFORCE or mode.swept_before:
        yield Finding("mode", Level.GOOD, what)
    else:
        yield Finding("mode", Level.NOTE, what, "Run 'hermes-retention sweep' once, or set it to enforce.")


def _rights(home: Home) -> Iterator[Finding]:
    path, me = home.path, os.geteuid()
    owner = path.stat().st_uid
    if me != owner:
        yield Finding(
            "rights",
            Level.WARNING,
            f"{printable(str(path))} belongs to another user (id {owner}, this is {me})",
            "Run hermes-retention as the user that the host runs as: its files must be readable by the host.",
        )
    if not os.access(path, os.W_OK | os.X_OK):
        what = f"{printable(str(path))} cannot be written"
        yield Finding("rights", Level.ERROR, what, "Run it as the user who owns the home.")
    open_ones = [own for own in _own_paths(home) if stat.S_IMODE(own.lstat().st_mode) & _SHARED_BITS]
    if open_ones:
        what = f"{printable(str(open_ones[0]))} and what is below may be read by others"
        yield Finding("rights", Level.WARNING, what, f"chmod -R go= {printable(str(home.workspace.root))}")
    elif me == owner:
        yield Finding("rights", Level.GOOD, "the home is yours, and nobody else may read the archive")


def _own_paths(home: Home) -> Iterator[Path]:
    workspace = home.workspace
    for path in (
        workspace.root,
        workspace.vault.root,
        workspace.ledger_path,
        *workspace.vault.partition_paths(),
    ):
        if path.exists():
            yield path


def _disk(home: Home) -> Iterator[Finding]:
    free, wanted = free_bytes(home.path), home.policy.keep_free or _LITTLE_FREE_BYTES
    if free is None:
        yield Finding("disk", Level.NOTE, "nobody can tell how much of the disk is free")
    elif free < wanted:
        yield Finding(
            "disk",
            Level.WARNING,
            f"{format_size(free)} are free on the disk of the home, less than {format_size(wanted)}",
            "Sweep, lower MAX_DISK, or make room: an archive needs some space before it gives more back.",
        )
    else:
        yield Finding("disk", Level.GOOD, f"{format_size(free)} are free")


def _store(home: Home, *, now: float) -> Iterator[Finding]:
    scan = home.store.scan(now=now)
    yield Finding("store", Level.GOOD, f"{len(scan.sessions):,} sessions can be read")
    for warning in scan.warnings:
        yield Finding("store", Level.WARNING, warning)
    if scan.strange_sources:
        yield _strange(scan.strange_sources)
    space = home.store.database_space()
    if space is not None and space.free_share >= 0.5:  # noqa: PLR2004 - half of it
        what = (
            f"{space.free_share:.0%} of the host's database ({format_size(space.file_bytes)}) is free pages"
        )
        cure = "Stop the gateway and run 'hermes-retention compact'."
        yield Finding("database", Level.NOTE, what, cure)


def _strange(sources: Mapping[str, int]) -> Finding:
    """The sources that nobody knows, those with most sessions first."""
    told = sorted(sources.items(), key=lambda source: (-source[1], source[0]))
    names = ", ".join(f"{printable(name)} ({count:,})" for name, count in told[:_SOURCES_TOLD])
    more = f" and {len(told) - _SOURCES_TOLD:,} more" if len(told) > _SOURCES_TOLD else ""
    return Finding(
        "sources",
        Level.NOTE,
        f"sessions of sources that are not known here: {names}{more}",
        "They are of the class 'other': its settings (HERMES_RETENTION_OTHER__...) decide about them.",
    )


def _host(home: Home, *, now: float) -> Iterator[Finding]:
    yield from home.store.checkup()
    prune = home.store.host_prune(until=now)
    if prune is not None and prune.conversations:
        cure = (
            "Turn it off with `hermes config set sessions.auto_prune false`, or sweep before the host starts."
        )
        yield Finding("host prune", Level.WARNING, prune.words(now=now), cure)


def _lock(home: Home) -> Iterator[Finding]:
    in_use = home.workspace.is_in_use()
    if in_use:
        yield Finding("lock", Level.NOTE, "a sweep or another change of this home runs just now")
    elif in_use is not None:
        yield Finding("lock", Level.GOOD, "nobody else changes this home just now")


def _ledger(home: Home, mode: Mode | None, *, now: float) -> Iterator[Finding]:
    ledger = home.workspace.ledger_if_any()
    if ledger is None:
        yield Finding("ledger", Level.NOTE, "no sweep has changed anything here yet")
        return
    with ledger:
        sweeps = ledger.sweeps()
    yield Finding("ledger", Level.GOOD, f"sweeps on record: {len(sweeps):,}")
    if sweeps:
        yield from _last_sweep(sweeps[0], mode, now=now)


def _last_sweep(last: SweepRow, mode: Mode | None, *, now: float) -> Iterator[Finding]:
    ago = now - last.started_at
    when = f"sweep {last.id}, {format_duration(ago)} ago"
    failures = last.totals.get("failed", 0)
    if last.state != "done":
        what = f"{when}: it did not come to its end"
        yield Finding(
            "last sweep", Level.WARNING, what, "Run 'hermes-retention sweep': it completes the work."
        )
    elif failures:
        cure = "Run 'hermes-retention sweep -v' to see what was kept and why."
        yield Finding(
            "last sweep", Level.WARNING, f"{when}: {failures:,} sessions kept something for an error", cure
        )
    elif ago > _SILENT_DAYS * _DAY and mode in (None, Mode.ENFORCE):
        what = f"{when} was the last one that changed something"
        cure = "If there was something due since, see whether the gateway or your timer still sweeps."
        yield Finding("last sweep", Level.NOTE, what, cure)
    else:
        yield Finding("last sweep", Level.GOOD, when)


def _archive(home: Home) -> Iterator[Finding]:
    home.workspace.check()
    damages: list[VaultDamaged] = []
    sessions = sum(1 for _ in home.workspace.vault.from_readable(damages, Partition.sessions))
    yield from (failed("archive", damage) for damage in damages)
    if not damages:
        months = len(home.workspace.vault.partition_paths())
        what = f"sessions: {sessions:,}, partitions: {months:,}; 'archive verify' reads every byte back"
        yield Finding("archive", Level.GOOD, what if months else "it is empty")


def _left_over(home: Home) -> Iterator[Finding]:
    root = home.workspace.root
    for below, what in (
        ("aside", "files that a sweep took aside when it died"),
        ("compact", "copies of the host's database that a compaction left when it died"),
    ):
        # In the directories of the agents of an OpenClaw home, too, which stay.
        left = sorted(path for path in (root / below).rglob("*") if not path.is_dir() or path.is_symlink())
        if left:
            found = f"{what}: {len(left):,}, such as {printable(left[0].name)}"
            yield Finding("left over", Level.WARNING, found, "Run 'hermes-retention sweep': it settles them.")
    unfinished = home.being_forgotten()
    if unfinished:
        what = f"'forget' was interrupted: {len(unfinished):,} sessions may not be gone yet"
        yield Finding("left over", Level.WARNING, what, "Run the same 'hermes-retention forget' again.")


def _holds(home: Home) -> Iterator[Finding]:
    holds = home.workspace.holds.load()
    yield Finding("holds", Level.GOOD, f"sessions held: {len(holds):,}")
