"""A one-off with an age of its own: the policy of a single run, made out of the one in effect.

What must not live here: output, and the sweep itself.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import OnReset, Policy


def prune_policy(policy: Policy, classes: Collection[SessionClass], *, older_than: int) -> Policy:
    """``policy`` for one run: files of ``classes`` go after ``older_than`` seconds, nothing else does.

    Nothing in the host's database: what leaves it is for the sweeps, with ages that are set in advance.
    What keeps sessions stays in force: guards, holds, ``keep_last``, ``keep_failed``, ``min_age``. So does
    ``archive``: a class without an archive is removed for good.
    """
    lifecycles = {
        kind: msgspec.structs.replace(
            lifecycle,
            files_after=older_than if kind in classes else None,
            tool_output_after=None,
            messages_after=None,
            record_after=None,
            archive_after=None,
            persist=True,
        )
        for kind, lifecycle in policy.lifecycles.items()
    }
    return msgspec.structs.replace(
        policy,
        lifecycles=lifecycles,
        on_reset=OnReset.KEEP,
        dumps_after=None,
        leftovers_after=None,
        max_sessions=None,
        max_disk=None,
        keep_free=None,
    )
