"""Over homes that nobody thought of: a preview agrees with its sweep, and sweep plus undo is the identity."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from homes import DAY, HOUR, HomeBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from sites import clock, policy_of, site_of, snapshot_of

from hermes_retention.actions.restore.restore import undo, undoable_sweeps
from hermes_retention.actions.sweep.sweep import preview, sweep
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, OnReset, Policy

SOURCES = ("telegram", "cron", "cli", "api_server", "webhook", "discord", "something new")
FILES = st.lists(st.sampled_from(["snapshot", "transcript", "request_dump"]), unique=True)

sessions = st.fixed_dictionaries(
    {
        "source": st.sampled_from(SOURCES),
        "age": st.floats(0, 60 * DAY),
        "ended": st.sampled_from([None, "session_reset", "cron_complete", "compression"]),
        "files": FILES,
        "key": st.sampled_from([None, "agent:main:telegram:dm:1", "agent:main:telegram:dm:2"]),
    }
)
policies = st.builds(
    policy_of,
    lifecycles=st.builds(
        lambda after, keep_last, max_age: dict.fromkeys(
            SessionClass, Lifecycle(files_after=after, keep_last=keep_last, max_age=max_age)
        ),
        st.sampled_from([0, DAY, 7 * DAY, None]),
        st.integers(0, 2),
        st.sampled_from([None, DAY]),
    ),
    on_reset=st.sampled_from([OnReset.ARCHIVE, OnReset.KEEP]),
    dumps_after=st.sampled_from([None, HOUR, 3 * DAY]),
    max_disk=st.sampled_from([None, 10_000]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(sessions, max_size=8), st.integers(0, 7), policies, st.binary(max_size=200))
def test_preview_agrees_and_undo_is_the_identity(
    rows: list[dict[str, Any]], routed: int, policy: Policy, content: bytes
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        home = HomeBuilder(Path(directory).resolve() / "home")
        for number, row in enumerate(rows):
            session_id = f"cron_job_202610{10 + number}_080000" if row["source"] == "cron" else f"s{number}"
            home.session(session_id, **row)
            if number == routed:
                home.route("agent:main:telegram:dm:1", session_id, age=row["age"])
        home.file("session_orphan.json", content, age=30 * DAY)
        before = snapshot_of(home.files)
        site = site_of(home, policy)
        expected = preview(site, clock=clock)
        real = sweep(site, clock=clock, origin="test")
        assert (expected.steps, expected.counts) == (real.steps, real.counts)
        assert not real.failures
        if real.sweep is not None:
            undo(site, undoable_sweeps(site, None, all_sweeps=True), now=clock())
        assert snapshot_of(home.files) == before
