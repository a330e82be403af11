"""A gateway of the OpenClaw family as far as its index goes: rewrites it again and again under its own lock.

    python openclaw_writer.py DIRECTORY TIMES PAUSE_SECONDS UPDATED_AT_MS

Each turn counts one up in the entry of the main session and adds a hook session with its transcript.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

_WAIT_SECONDS, _POLL_SECONDS, _STALE_SECONDS = 10.0, 0.002, 30.0
MAIN = "agent:main:main"


@contextlib.contextmanager
def _locked(index: Path) -> Iterator[None]:
    lock, deadline = Path(f"{index}.lock"), time.monotonic() + _WAIT_SECONDS
    while True:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            os.write(
                descriptor, json.dumps({"pid": os.getpid(), "startedAt": int(time.time() * 1000)}).encode()
            )
            os.close(descriptor)
            break
        if time.monotonic() > deadline:
            raise TimeoutError(lock)
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        lock.unlink()


def rewrite(directory: Path, times: int, pause: float, updated_at_ms: int) -> None:
    """What the module says."""
    index = directory / "sessions.json"
    for turn in range(times):
        own = str(uuid.uuid4())
        path = directory / f"{own}.jsonl"
        path.write_text(json.dumps({"type": "session", "version": 3, "id": own}) + "\n")
        os.utime(path, (updated_at_ms / 1000,) * 2)
        with _locked(index):
            entries = json.loads(index.read_text())
            entries[MAIN]["count"] = entries[MAIN].get("count", 0) + 1
            entries[f"agent:main:hook:{own}"] = {"sessionId": own, "updatedAt": updated_at_ms, "turn": turn}
            temporary = directory / f"sessions.json.{os.getpid()}.{own}.tmp"
            temporary.write_text(json.dumps(entries, indent=2))
            os.replace(temporary, index)
        time.sleep(pause)


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
