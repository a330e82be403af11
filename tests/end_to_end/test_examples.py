"""Every example runs, and does what its first lines say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from homes import DAY, NOW, HomeBuilder, name_of

EXAMPLES = Path(__file__).parents[2] / "examples"
CHAT = "20261010_080000_bbbbbbbb"


def test_sweep_from_python_takes_cron_runs_only(tmp_path: Path) -> None:
    home = HomeBuilder(tmp_path / "home").session(CHAT, age=40 * DAY)
    for day in range(11):  # the newest ten stay
        run = f"cron_news_202610{10 + day}_080000"
        home.session(run, source="cron", ended="cron_complete", age=(40 - day) * DAY)
    # The builder counts ages from a fixed time, the example from now.
    shift = NOW - time.time()
    for path in home.files.iterdir():
        os.utime(path, (path.stat().st_mtime - shift, path.stat().st_mtime - shift))
    command = [sys.executable, str(EXAMPLES / "sweep_from_python.py"), str(home.path)]
    looked = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "would archive 1 of 12 sessions" in looked.stdout
    done = subprocess.run([*command, "--really"], capture_output=True, text=True, check=True)
    assert "archived 1 of 12 sessions" in done.stdout
    assert not (home.files / name_of("snapshot", "cron_news_20261010_080000")).exists()
    assert (home.files / name_of("snapshot", CHAT)).exists()
