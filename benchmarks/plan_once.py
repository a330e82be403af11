"""Plans one home and prints what it took: a program of its own, so that its memory is its own.

``python benchmarks/plan_once.py HOME``
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from hermes_retention.home.home import Home
    from hermes_retention.home.workspace import Workspace
    from hermes_retention.policy.decide import decide
    from hermes_retention.settings.load import load_settings
    from hermes_retention.stores.hermes.store import HermesStore

    home = Path(sys.argv[1]).resolve()
    site = Home(HermesStore(home), Workspace(home), load_settings(home, {}).policy())
    now = time.time()
    start = time.perf_counter()
    inventory = site.take_inventory(now=now)
    scanned = time.perf_counter()
    plan = decide(inventory, site.policy, now=now)
    decided = time.perf_counter()
    print(
        json.dumps(
            {
                "scan_seconds": scanned - start,
                "decide_seconds": decided - scanned,
                "sessions": len(inventory.sessions),
                "removals": len(plan.removals()),
            }
        )
    )
