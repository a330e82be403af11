"""The parsers of everything that lies on the disk, fed by a fuzzer that looks for new ways through them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

INPUTS = 300_000


def test_parsers_raise_only_what_they_promise(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no build for this Python or system")
    script = Path(__file__).with_name("fuzz_parsers.py")
    command = [
        sys.executable,
        str(script),
        f"-runs={INPUTS}",
        f"-artifact_prefix={tmp_path}/",
        "-max_len=600",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    print(f"fuzzed: {INPUTS} inputs")  # noqa: T201 - for the docs
