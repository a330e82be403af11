"""A plan in the making: at most one step about the files and one about the rows of each session.

A step that keeps a session stands where that about its files would stand, and gives way to any other. What
must not live here: whether anything is due.
"""

from __future__ import annotations

from collections.abc import Iterator

from hermes_retention.model import Artifact, Session, SessionClass
from hermes_retention.plan import Rule, Step, Verdict
from hermes_retention.policy.budget import expected_gain
from hermes_retention.policy.fates import removal
from hermes_retention.policy.standing import Standing
from hermes_retention.policy.wishes import Because
from hermes_retention.units import format_duration


class Draft:
    """The steps by the places of their sessions. It begins with nothing said about any of them."""

    def __init__(self, standing: Standing, bytes_per_message: float) -> None:
        self._standing = standing
        self._bytes_per_message = bytes_per_message
        self._files: list[Step | None] = [None] * len(standing.sessions)
        self._rows: list[Step | None] = [None] * len(standing.sessions)
        self._texts: dict[str, str] = {}

    def steps(self) -> Iterator[Step]:
        """All steps in the order of the places, what is said about files before what is about rows."""
        for files, rows in zip(self._files, self._rows, strict=True):
            if files is not None:
                yield files
            if rows is not None:
                yield rows

    def says_anything(self, place: int) -> bool:
        """Whether there is a step about the session."""
        return self._files[place] is not None or self._rows[place] is not None

    def loses_all_files(self, place: int) -> bool:
        """Whether no file of the session is left after its steps."""
        files = self._files[place]
        whole = len(self._standing.sessions[place].artifacts)
        return whole == (0 if files is None else len(files.artifacts))

    def loses_messages(self, place: int) -> bool:
        """Whether no message of the session is left after its steps."""
        rows = self._rows[place]
        return rows is not None and rows.verdict is not Verdict.ARCHIVE_TOOL_OUTPUT

    def keep(self, place: int, because: Because) -> None:
        """Nothing of the session goes but old request dumps."""
        rest = f"the session itself stays: {because[1]}"
        if dumps := self._standing.old_dumps(place):
            self._files[place] = self._dumps_step(place, dumps, rest)
        elif leftovers := self._standing.old_leftovers(place):
            self._files[place] = self._leftovers_step(place, leftovers, rest)
        else:
            size = _allocated_bytes(self._standing.sessions[place].artifacts)
            self._files[place] = self._build(place, Verdict.KEEP, because, size)

    def take(self, place: int, step: Step) -> None:
        """A part of the session goes as ``step`` says, and nothing says any longer that all of it stays."""
        if step.seen is None:
            self._files[place] = step
            return
        self._rows[place] = step
        files = self._files[place]
        if files is not None and files.rule is not Rule.DUMPS_AFTER and files.verdict is not Verdict.KEEP:
            return
        self._files[place] = self._dumps_beside_rows(place)

    def gain(self, place: int, step: Step) -> int:
        """Bytes that are expected of ``step`` beyond what the step gives that it would replace."""
        before = self._files[place] if step.seen is None else self._rows[place]
        return expected_gain(step) - (0 if before is None else expected_gain(before))

    def files_step(self, place: int, because: Because) -> Step:
        """A step that takes all files of the session, in the way of its class."""
        verdict = self._standing.fates(place).files.verdict
        artifacts = self._standing.sessions[place].artifacts
        return self._build(place, verdict, because, _allocated_bytes(artifacts), artifacts)

    def rows_step(
        self, place: int, verdict: Verdict, because: Because, due_by: SessionClass | None = None
    ) -> Step:
        """A step that takes those rows of the session that the verdict speaks of."""
        session = self._standing.sessions[place]
        record = session.record
        has_size = record is not None and record.has_messages and verdict is not Verdict.ARCHIVE_TOOL_OUTPUT
        count = max(record.message_count, 1) if record is not None and has_size else 0
        size = round(count * self._bytes_per_message)
        return self._build(place, verdict, because, size, seen=session, due_by=due_by)

    def _dumps_beside_rows(self, place: int) -> Step | None:
        dumps = self._standing.old_dumps(place)
        if not dumps:
            return None
        if len(dumps) == len(self._standing.sessions[place].artifacts):
            return self._dumps_step(place, dumps, "no other files are there")
        why = self._standing.why_it_stays(place, self._standing.fates(place).files)
        return self._dumps_step(place, dumps, f"other files stay: {why[1]}")

    def _dumps_step(self, place: int, dumps: tuple[Artifact, ...], rest: str) -> Step:
        limit = format_duration(self._standing.policy.dumps_after or 0)
        because = Rule.DUMPS_AFTER, f"request dump older than {limit}; {rest}"
        return self._some_files_step(place, dumps, because)

    def _leftovers_step(self, place: int, leftovers: tuple[Artifact, ...], rest: str) -> Step:
        limit = format_duration(self._standing.policy.leftovers_after or 0)
        because = Rule.LEFTOVERS_AFTER, f"set aside by the host, older than {limit}; {rest}"
        return self._some_files_step(place, leftovers, because)

    def _some_files_step(self, place: int, files: tuple[Artifact, ...], because: Because) -> Step:
        standing = self._standing
        lifecycle = standing.policy.lifecycles[standing.sessions[place].session_class]
        verdict = removal(lifecycle, standing.assessments[place].liveness)
        return self._build(place, verdict, because, _allocated_bytes(files), files)

    def _build(  # noqa: PLR0913, PLR0917 - what a step is made of
        self,
        place: int,
        verdict: Verdict,
        because: Because,
        size: int,
        artifacts: tuple[Artifact, ...] = (),
        seen: Session | None = None,
        due_by: SessionClass | None = None,
    ) -> Step:
        standing = self._standing
        session = standing.sessions[place]
        rule, reason = because
        return Step(
            session.id,
            session.session_class,
            standing.assessments[place].liveness,
            verdict,
            rule,
            self._texts.setdefault(reason, reason),  # equal texts are one object, among a million steps
            artifacts,
            size,
            min(standing.activity[place], standing.now),
            None,
            seen,
            due_by,
        )


def _allocated_bytes(artifacts: tuple[Artifact, ...]) -> int:
    if len(artifacts) == 1:  # nearly always; and no new number for each
        return artifacts[0].allocated_bytes
    return sum(artifact.allocated_bytes for artifact in artifacts)
