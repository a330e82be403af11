"""All that this project does to homes of either family, each as a scene in which faults may strike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fault_runs import Scene
from hermes_scenes import HERMES_SCENES
from openclaw_scenes import OPENCLAW_SCENES

SCENES: dict[str, Callable[[Path], Scene[Any]]] = {**HERMES_SCENES, **OPENCLAW_SCENES}
