"""Sweeps a Hermes home from Python, with a policy of your own, and says what it did.

    python examples/sweep_from_python.py HOME            # only looks
    python examples/sweep_from_python.py HOME --really   # archives and removes

Everything that the command line does is a function: this is ``sweep`` for cron sessions alone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hermes_retention.api import Lifecycle, Policy, RetentionError, SessionClass, open_home, preview, sweep

DAY = 86400


def cron_only() -> Policy:
    """Cron runs leave after a day, but for the newest ten of each job; everything else stays for ever."""
    lifecycles = dict.fromkeys(SessionClass, Lifecycle(files_after=None))
    lifecycles[SessionClass.CRON] = Lifecycle(files_after=DAY, keep_last=10, keep_failed=7 * DAY)
    return Policy(lifecycles, dumps_after=None)


def main(path: Path, *, really: bool) -> int:
    """Sweep the home at ``path`` and return the exit code that ``hermes-retention`` would return."""
    try:
        home = open_home(path).for_one_run(cron_only())
        report = sweep(home, clock=time.time, origin="example") if really else preview(home, clock=time.time)
    except RetentionError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    verb = "archived" if really else "would archive"
    print(
        f"{verb} {report.counts.files_archived} of {report.sessions} sessions, "
        f"{report.bytes_freed:,} bytes freed"
    )
    for outcome in report.failures:
        print(f"kept: {outcome.error}", file=sys.stderr)
    return report.exit_code


if __name__ == "__main__":
    if len(sys.argv) < 2:  # noqa: PLR2004 - the name of the program and HOME
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), really="--really" in sys.argv[2:]))
