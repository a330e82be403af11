"""A home under care for tests: a ``HomeBuilder`` home, a policy, and a clock that tests set."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from homes import NOW, HomeBuilder

from hermes_retention.home.home import Home
from hermes_retention.home.workspace import Workspace
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import Lifecycle, Policy

DAY = 86400


def policy_of(**fields: object) -> Policy:
    """A policy under which everything is due after a day; ``fields`` of ``Policy`` may differ."""
    lifecycles = dict.fromkeys(SessionClass, Lifecycle(files_after=DAY))
    return Policy(**({"lifecycles": lifecycles} | fields))  # type: ignore[arg-type]  # one keyword per field


def site_of(home: HomeBuilder, policy: Policy | None = None) -> Home:
    """The site of a home, under ``policy_of()`` unless another policy is given."""
    store = home.store()
    return Home(store, Workspace(store.home), policy or policy_of())


def clock() -> float:
    """The time that ``HomeBuilder`` counts its ages from."""
    return NOW


def snapshot_of(directory: Path) -> dict[bytes, tuple[bytes, int, int]]:
    """Name → content, mtime in nanoseconds and mode of every regular file in ``directory``."""
    found = {}
    for entry in os.scandir(os.fsencode(directory)):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            with open(entry.path, "rb") as stream:
                found[entry.name] = (stream.read(), status.st_mtime_ns, stat.S_IMODE(status.st_mode))
    return found
