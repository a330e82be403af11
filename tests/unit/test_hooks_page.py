"""The page about hooks names exactly the hooks that there are, with their arguments."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from hermes_retention import hookspecs
from hermes_retention.plugins import bare_plugin_manager

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")


def specified() -> dict[str, str]:
    """Hook → its arguments, as a reader would write them."""
    names = [name for name in vars(bare_plugin_manager().hook) if not name.startswith("_")]
    return {name: ", ".join(inspect.signature(getattr(hookspecs, name)).parameters) for name in names}


def documented() -> dict[str, str]:
    return dict(re.findall(r"^\| `(\w+)\(([^)]*)\)`", PAGE, re.MULTILINE))


def test_page_lists_every_hook_with_its_arguments_and_no_other() -> None:
    assert documented() == specified()


def test_page_says_which_hooks_give_an_answer() -> None:
    answering = set(re.findall(r"^\| `(\w+)\([^)]*\)` (?:→|\u2192)", PAGE, re.MULTILINE))
    manager = bare_plugin_manager()
    first = {
        name
        for name in specified()
        if (spec := getattr(manager.hook, name).spec) is not None and spec.opts["firstresult"]
    }
    assert answering == first


def test_example_of_a_plugin_is_one() -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {"open_tickets": set}
    exec(example, names)  # noqa: S102 - the page's own example
    manager = bare_plugin_manager()
    plugin = type("Plugin", (), {"retention_hold": staticmethod(names["retention_hold"])})  # type: ignore[arg-type] # made by the example
    manager.register(plugin)
    assert manager.hook.retention_hold.get_hookimpls()
