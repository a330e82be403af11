"""How a home is doing: its sessions, what is due, the vault, the last sweeps, and what a person should know.

For monitors it is told in the text format of Prometheus, as the textfile collector of the node exporter reads
it. What must not live here: output for people, deciding when metrics are written, and what is worth an alarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from hermes_retention import __version__
from hermes_retention.actions.inspect.stats import WINDOW_DAYS, Growth, Picture, measure_growth, take_picture
from hermes_retention.actions.sweep.mode import SweepMode, noted_mode
from hermes_retention.actions.sweep.recovery import LAST_DRILL, Drill, noted_drill
from hermes_retention.archive.vault import VaultSummary
from hermes_retention.disk.writing import replace_public_file
from hermes_retention.home.home import Home
from hermes_retention.home.ledger import Ledger, SweepRow
from hermes_retention.home.queue import Pending
from hermes_retention.model.errors import RetentionError, VaultDamaged
from hermes_retention.model.plan import VERDICTS, Action
from hermes_retention.model.session import Inventory, Usage
from hermes_retention.model.text import printable, words
from hermes_retention.policy.decide import decide
from hermes_retention.stores.base import DatabaseSpace, HostPrune, HostSetting

_LAST_SWEEPS = 5
PREFIX = "hermes_retention_"
"""Of the names of all metrics."""
LARGE = 20_000
"""Sessions from which on a home is not looked through once more where a sweep has left a picture."""
NEVER_LARGE = 2**62
"""For ``take_status``: look through the home, however many sessions there are."""


class Look(msgspec.Struct, frozen=True):
    """What the ledger remembers. An empty one stands for a home without a ledger."""

    sweeps: tuple[SweepRow, ...] = ()
    """All of them, newest first."""
    mode: SweepMode = SweepMode()
    pictures: tuple[Picture, ...] = ()
    """Those of the last 30 days, oldest first."""
    newest: Picture | None = None
    pending: tuple[Pending, ...] = ()
    drill: Drill | None = None


class Status(msgspec.Struct, frozen=True):
    """The state of a home. Sizes are bytes that the file system allocates."""

    home: str
    store: str
    picture: Picture
    """What lies in the store and what is due."""
    is_fresh: bool
    """Whether the picture was taken for this; else it is the one that the last sweep of a large home left."""
    mode: SweepMode
    """What sweeps may do, and when the next one comes."""
    usage: Usage
    growth: Growth
    vault: VaultSummary | None
    """``None`` when a partition cannot be read."""
    vault_damage: VaultDamaged | None
    sweeps: tuple[SweepRow, ...]
    """The last ones, newest first."""
    holds: int
    drill: Drill | None
    """The last restore drill; ``None`` when there was none."""
    database: DatabaseSpace | None
    """How full the host's own database is; ``None`` when there is none."""
    host_settings: tuple[HostSetting, ...]
    """What of the host's own configuration matters here."""
    warnings: tuple[str, ...]
    pending: tuple[Pending, ...] = ()
    """What hooks announced and no sweep has seen to yet, oldest first."""
    host_prune: HostPrune | None = None
    """What the host itself deletes; ``None`` when it deletes nothing."""


def take_status(home: Home, *, now: float, large: int = LARGE) -> Status:
    """The state of ``home``. Reads only.

    A home of at least ``large`` sessions is shown as the last sweep left it, if one kept a picture. Raises
    ``StoreUnreadable`` when the store cannot be read, ``RetentionError`` when the ledger cannot.
    """
    home.workspace.check()
    look = look_into_ledger(home, now=now)
    newest = look.newest
    is_fresh = newest is None or newest.sessions < large
    picture = newest if newest is not None and not is_fresh else _fresh_picture(home, now=now)
    usage = picture.usage if is_fresh else home.usage(sessions_bytes=picture.usage.sessions_bytes)
    vault, damage = _vault_summary(home)
    return Status(
        home=str(home.path),
        store=home.store.name,
        picture=picture,
        is_fresh=is_fresh,
        mode=look.mode,
        usage=usage,
        growth=growth_of(home, look, picture, usage, now=now),
        vault=vault,
        vault_damage=damage,
        sweeps=look.sweeps[:_LAST_SWEEPS],
        pending=look.pending,
        holds=picture.holds,
        drill=look.drill,
        database=home.store.database_space(),
        host_settings=tuple(home.store.host_settings()),
        host_prune=home.store.host_prune(until=now),
        warnings=(*picture.warnings, *home.store.host_warnings()),
    )


def growth_of(home: Home, look: Look, picture: Picture, usage: Usage, *, now: float) -> Growth:
    """How fast the home grew over the last 30 days, archived things included."""
    archived = home.workspace.vault.written(days=WINDOW_DAYS, now=now)
    written = [sum(sizes) for sizes in zip(picture.written, archived, strict=True)]
    return measure_growth(look.sweeps, look.pictures, written, usage, now=now)


def look_into_ledger(home: Home, *, now: float, days: float = WINDOW_DAYS) -> Look:
    """What the ledger remembers, with the pictures of the last ``days``."""
    ledger = home.workspace.ledger_if_any()
    if ledger is None:
        return Look(mode=SweepMode(home.mode))
    with ledger:
        newest = ledger.newest_picture()
        return Look(
            sweeps=tuple(ledger.sweeps()),
            mode=noted_mode(ledger, home.mode, now=now),
            pictures=_decoded(ledger.pictures(since=now - days * 86400)),
            pending=tuple(ledger.queue.lines()),
            drill=noted_drill(ledger.fact(LAST_DRILL)),
            newest=None if newest is None else next(iter(_decoded([newest])), None),
        )


def _decoded(contents: Sequence[str]) -> tuple[Picture, ...]:
    """The pictures that this version understands: one of a newer version may differ, and is no loss."""
    decoder = msgspec.json.Decoder(Picture)
    found = []
    for content in contents:
        try:
            found.append(decoder.decode(content))
        except msgspec.MsgspecError:
            continue
    return tuple(found)


def _fresh_picture(home: Home, *, now: float) -> Picture:
    inventory = home.take_inventory(now=now)
    return take_picture(inventory, decide(inventory, home.policy, now=now))


def _vault_summary(home: Home) -> tuple[VaultSummary | None, VaultDamaged | None]:
    try:
        return home.workspace.vault.summary(), None
    except VaultDamaged as error:
        return None, error


class Metric(msgspec.Struct, frozen=True):
    """One metric: its name behind the prefix, what it says, and a value for each set of labels."""

    name: str
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def measure(home: Home, *, now: float) -> list[Metric]:
    """Everything that is measured of a home. Reads only.

    Raises ``StoreUnreadable`` when the store cannot be read, ``RetentionError`` when the ledger cannot.
    """
    inventory = home.take_inventory(now=now)
    return [
        _one("info", "Always 1; the label names the version.", 1, version=__version__),
        _one("measured_timestamp_seconds", "When this was measured.", now),
        *_store(home, inventory, now=now),
        *_vault(home),
        *_ledger(home),
        _one("held_sessions", "Sessions that a person holds.", len(inventory.holds)),
        _one(
            "unfinished_forget_sessions",
            "What an interrupted 'forget' left to do.",
            len(home.being_forgotten()),
        ),
    ]


def text_of(metrics: Iterable[Metric], home: Path) -> str:
    """The metrics as Prometheus reads them; every one is a gauge and names its home."""
    lines: list[str] = []
    for metric in metrics:
        name = f"{PREFIX}{metric.name}"
        lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} gauge"]
        for labels, value in metric.samples:
            every = {"home": str(home), **labels}
            shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in every.items())
            lines.append(f"{name}{{{shown}}} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def write_metrics(home: Home, path: Path, *, now: float) -> None:
    """Put the metrics into ``path``, all at once or not at all; everybody may read the file.

    Raises ``RetentionError`` when they cannot be measured or written; the file is as it was then.
    """
    text = text_of(measure(home, now=now), home.path)
    try:
        replace_public_file(path, text.encode())
    except OSError as error:
        raise RetentionError(
            str(path),
            f"the metrics cannot be written there ({words(error)})",
            consequence="the file is as it was",
            cure="METRICS_FILE has to name a file in a directory that exists and that you may write to.",
        ) from error


def _one(name: str, about: str, value: float, **labels: str) -> Metric:
    return Metric(name, about, ((labels, value),))


def _store(home: Home, inventory: Inventory, *, now: float) -> Iterator[Metric]:
    plan = decide(inventory, home.policy, now=now)
    there: dict[str, tuple[str, str]] = {}
    due: Counter[str] = Counter()
    for step in plan.steps:
        if step.action is not Action.EXPIRE:
            there[step.session_id] = (step.session_class.value, step.liveness.value)
        if step.action is not Action.KEEP:
            due[step.verdict] += 1
    groups = sorted(Counter(there.values()).items())
    samples = tuple(({"class": kind, "liveness": live}, count) for (kind, live), count in groups)
    yield Metric("sessions", "Sessions in the store.", samples)
    verdicts = [verdict for (action, _), verdict in VERDICTS.items() if action is not Action.KEEP]
    what = tuple(({"verdict": verdict}, float(due[verdict])) for verdict in verdicts)
    yield Metric("due_steps", "What the next sweep would do, in steps.", what)
    yield _one("unknown_files", "Entries that no rule speaks of.", len(inventory.unknown))
    usage = inventory.usage
    parts = {
        "session_files": usage.sessions_bytes,
        "database": usage.database_bytes,
        "archive": usage.vault_bytes,
        "ledger": usage.ledger_bytes,
    }
    used = tuple(({"part": part}, float(size)) for part, size in parts.items())
    yield Metric("used_bytes", "What is stored, as the file system allocates it.", used)
    if usage.free_bytes is not None:
        yield _one("free_bytes", "What is free on the file system of the home.", usage.free_bytes)
    space = home.store.database_space()
    if space is not None:
        yield _one("database_file_bytes", "The file of the host's database.", space.file_bytes)
        yield _one("database_free_page_bytes", "Free pages in that file.", space.free_bytes)


def _vault(home: Home) -> Iterator[Metric]:
    try:
        summary = home.workspace.vault.summary()
    except VaultDamaged:
        yield _one("archive_readable", "Whether every partition of the archive can be opened.", 0)
        return
    yield _one("archive_readable", "Whether every partition of the archive can be opened.", 1)
    yield _one("archived_sessions", "Sessions in the archive.", summary.sessions)
    yield _one("archived_original_bytes", "What archived things took before.", summary.original_bytes)


def _ledger(home: Home) -> Iterator[Metric]:
    sweeps: list[SweepRow] = home.workspace.ask_ledger(Ledger.sweeps, [])
    last = next((sweep for sweep in sweeps if sweep.finished_at is not None), None)
    if last is not None:
        yield from _last_sweep(last, last.finished_at or last.started_at)


def _last_sweep(last: SweepRow, finished_at: float) -> Iterator[Metric]:
    totals = last.totals
    freed = totals.get("bytes_before", 0) - totals.get("bytes_after", 0)
    about = "When the last sweep that changed something came to its end."
    yield _one("last_sweep_timestamp_seconds", about, finished_at)
    yield _one(
        "last_sweep_failed_sessions",
        "Sessions of which it kept something for an error.",
        totals.get("failed", 0),
    )
    yield _one("last_sweep_freed_bytes", "What it gave back; negative when the archive grew by more.", freed)


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
