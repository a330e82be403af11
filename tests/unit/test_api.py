"""The public face: complete, documented, and free until something of it is used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hermes_retention import api

TREE = Path(__file__).resolve().parents[2]
PUBLIC = {"hermes_retention.api", "hermes_retention.testing"}
PAGES = ("how-to/plugins.md", "how-to/inside-a-gateway.md", "reference/hooks.md", "reference/api.md")
HEAVY = ("msgspec", "pydantic", "pydantic_settings", "rich", "sqlite3", "zstandard", "yaml")


def loaded_by(code: str) -> set[str]:
    """The modules that are there after ``code`` ran in a fresh process."""
    run = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("name", api.__all__)
def test_name_leads_to_something_that_is_documented(name: str) -> None:
    found = getattr(api, name)
    assert found.__name__ == name if hasattr(found, "__name__") else name == "hookimpl"
    assert found.__doc__


def test_names_are_sorted_and_each_once() -> None:
    assert list(api.__all__) == sorted(set(api.__all__))
    assert set(api.__all__) <= set(dir(api))


def test_tools_are_told_the_same_as_the_program() -> None:
    """What type checkers read in the imports is what ``__getattr__`` does."""
    tree = ast.parse(Path(api.__file__).read_text("utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    told: dict[str, set[str]] = {}
    for node in guarded.body:
        assert isinstance(node, ast.ImportFrom)
        told.setdefault(str(node.module), set()).update(alias.name for alias in node.names)
    assert told == {module: set(names) for module, names in api._MODULES.items()}  # noqa: SLF001 - compared here
    assert sorted(name for names in told.values() for name in names) == sorted(api.__all__)


def test_page_has_every_name_and_no_other() -> None:
    page = (TREE / "docs" / "reference" / "api.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.+?) \|", page, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)", row)]
    assert sorted(named) == sorted(api.__all__)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sweeper'"):
        _ = api.Sweeper


def test_importing_it_loads_nothing() -> None:
    loaded = loaded_by("import hermes_retention.api")
    assert not loaded & set(HEAVY)
    assert {it for it in loaded if it.startswith("hermes_retention")} == {
        "hermes_retention",
        "hermes_retention.api",
    }


@pytest.mark.parametrize("name", ["hookimpl", "plugin_manager", "RetentionPlugin", "ResumeCandidate"])
def test_a_gateway_that_only_fires_hooks_loads_neither_settings_nor_databases(name: str) -> None:
    loaded = loaded_by(f"from hermes_retention.api import {name}")
    assert not loaded & {"msgspec", "pydantic", "pydantic_settings", "rich", "zstandard"}


def imported(source: str) -> set[str]:
    """The modules of the package that ``source`` imports from."""
    return set(re.findall(r"^\s*(?:from|import) (hermes_retention[\w.]*)", source, re.MULTILINE))


@pytest.mark.parametrize("path", sorted((TREE / "examples").rglob("*.py")), ids=lambda path: path.name)
def test_example_needs_nothing_but_the_public_face(path: Path) -> None:
    modules = imported(path.read_text("utf-8"))
    assert modules
    assert modules <= PUBLIC


@pytest.mark.parametrize("name", PAGES)
def test_page_names_nothing_but_the_public_face(name: str) -> None:
    page = (TREE / "docs" / name).read_text("utf-8")
    modules = {found.rstrip(".") for found in re.findall(r"hermes_retention\.[\w.]+", page)}
    assert {".".join(module.split(".")[:2]) for module in modules} <= PUBLIC
