"""Example plugins as if pip had installed them: their modules and metadata in a directory of their own.

place = installed(tmp_path, "keep_jobs")
start("sweep", environ={"PYTHONPATH": str(place)})
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def installed(directory: Path, *names: str) -> Path:
    """A directory for ``PYTHONPATH`` that has these examples, with the entry points of their projects."""
    place = directory / "site-packages"
    place.mkdir(exist_ok=True)
    for name in names:
        project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]
        shutil.copy(EXAMPLES / name / f"{name}.py", place)
        metadata = place / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        groups = project["entry-points"]
        lines = [
            f"[{group}]\n" + "".join(f"{it} = {module}\n" for it, module in points.items())
            for group, points in groups.items()
        ]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
    return place
