"""Which runs of cron jobs failed, as far as the host wrote it down.

Host 0.19 keeps a table of executions; older ones only the last status of each job. Neither is needed for
safety: when they cannot be read, a warning says so.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.session import Record
from hermes_retention.model.text import printable, words
from hermes_retention.stores.files import decode, read_document, timestamp
from hermes_retention.stores.hermes.files import cron_job
from hermes_retention.stores.hermes.state_db import read_executions

_FAILED = frozenset({"failed", "unknown"})
_CONSEQUENCE = "keep_failed knows only runs that never ended"

Spans: TypeAlias = tuple[list[float], list[float]]
"""Begins in order, and for each the latest end of all spans up to it."""


class Failures(msgspec.Struct, gc=False):
    """What is known about failed runs, by job."""

    spans: dict[str, Spans] = {}
    """When executions were under way that failed (host 0.19)."""
    last_failed: set[str] = set()
    """Session ids of newest runs, for jobs of which only the last status is known."""
    warnings: list[str] = []

    def includes(self, run: str, job: str, started_at: float) -> bool:
        """Whether the run of ``job`` that is session ``run`` failed."""
        if run in self.last_failed:
            return True
        if job not in self.spans:
            return False
        begins, ends = self.spans[job]
        position = bisect_right(begins, started_at) - 1
        return position >= 0 and ends[position] >= started_at


def read_failures(home: Path, records: Mapping[str, Record]) -> Failures:
    """What the host wrote down about failed runs; what could not be read becomes a warning."""
    failures = Failures()
    executions: Sequence[tuple[object, ...]] = ()
    try:
        executions = read_executions(home / "cron" / "executions.db")
    except StoreUnreadable as error:
        failures.warnings.append(f"{error.what}: {error.why}; {_CONSEQUENCE}. {error.cure}")
    failures.spans = _spans(executions)
    path = home / "cron" / "jobs.json"
    try:
        jobs = _read_jobs(path)
    except (OSError, ValueError) as error:
        why = words(error) if isinstance(error, OSError) else str(error)
        cure = "Let the host write it anew."
        failures.warnings.append(f"{printable(str(path))}: {why}; {_CONSEQUENCE}. {cure}")
        return failures
    recorded = {job for job, *_ in executions}
    errors = {job: until for job, until in _last_errors(jobs).items() if job not in recorded}
    failures.last_failed = _newest_runs(errors, records)
    return failures


def _spans(executions: Iterable[tuple[object, ...]]) -> dict[str, Spans]:
    found: dict[str, list[tuple[float, float]]] = {}
    for job, status, claimed, started, finished in executions:
        begin = timestamp(claimed) or timestamp(started)
        if status in _FAILED and isinstance(job, str) and begin is not None:
            found.setdefault(job, []).append((begin, timestamp(finished) or math.inf))
    spans: dict[str, Spans] = {}
    for job, pairs in found.items():
        pairs.sort()
        # An interrupted execution is closed late, so spans may overlap: what counts is the latest end so far.
        spans[job] = [begin for begin, _ in pairs], list(itertools.accumulate((end for _, end in pairs), max))
    return spans


def _last_errors(jobs: Iterable[object]) -> dict[str, float]:
    """Jobs whose last run failed → when that run was over."""
    errors: dict[str, float] = {}
    for job in jobs:
        if isinstance(job, dict) and job.get("last_status") == "error" and isinstance(job.get("id"), str):
            over = timestamp(job.get("last_run_at"))
            errors[job["id"]] = math.inf if over is None else over
    return errors


def _newest_runs(until: Mapping[str, float], records: Mapping[str, Record]) -> set[str]:
    """The newest run of each of these jobs that began before the time given for it."""
    newest: dict[str, tuple[float, str]] = {}
    for session_id, record in records.items() if until else ():
        job = cron_job(session_id)
        if job is not None and record.started_at <= until.get(job, -math.inf):
            newest[job] = max(newest.get(job, (0.0, "")), (record.started_at, session_id))
    return {session_id for _, session_id in newest.values()}


def _read_jobs(path: Path) -> list[object]:
    content = read_document(path)
    if content is None:
        return []
    document = decode(content)
    jobs = document.get("jobs", []) if isinstance(document, dict) else document
    if not isinstance(jobs, list):
        raise ValueError("it holds no list of jobs")  # noqa: TRY004 - it is the file that is wrong, not a type
    return jobs
