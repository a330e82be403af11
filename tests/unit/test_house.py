"""The house stays small enough to find one's way: its figures have bounds, and its words one meaning."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # last: the installed package is the one that is tested

from benchmarks import house  # noqa: E402 - found by the line above

MODULES, AT_THE_ROOT, LINES, IMPORTS_PER_MODULE = 163, 6, 33_600, 5.7
"""More of any means that something wants to be thought over, not that the number wants to be raised."""


@pytest.fixture(scope="module")
def figures() -> house.House:
    return house.measure()


def test_modules_are_few(figures: house.House) -> None:
    many = len(figures.modules)
    assert many <= MODULES


def test_only_public_faces_lie_at_the_root(figures: house.House) -> None:
    assert len(figures.at_the_root) <= AT_THE_ROOT, figures.at_the_root


def test_lines_are_few(figures: house.House) -> None:
    lines = figures.lines
    assert lines <= LINES


def test_a_module_needs_few_others(figures: house.House) -> None:
    imports = figures.imports_per_module
    assert imports <= IMPORTS_PER_MODULE


def test_nothing_is_imported_in_a_circle(figures: house.House) -> None:
    assert figures.circles == []


def vocabulary() -> set[str]:
    """The stem of every word of the section."""
    design = (ROOT / "docs" / "design.md").read_text("utf-8")
    section = design.partition("\n## Vocabulary\n")[2].partition("\n## ")[0]
    return {stem(word) for word in re.findall(r"[a-z0-9]+", section.lower())}


def stem(word: str) -> str:
    """The same for singular and plural."""
    return word.rstrip("eisy")


def test_vocabulary_has_every_word_that_a_module_is_named_after(figures: house.House) -> None:
    words = {
        word: module.name
        for module in figures.modules
        for word in re.findall(r"[a-z0-9]+", module.name)
        if word != "init"  # Python's
    }
    known = vocabulary()
    missing = [f"{word} ({name})" for word, name in sorted(words.items()) if stem(word) not in known]
    assert not missing, f"not in the vocabulary of docs/design.md: {', '.join(missing)}"


def test_design_names_modules_that_there_are(figures: house.House) -> None:
    design = (ROOT / "docs" / "design.md").read_text("utf-8")
    section = design.partition("\n### Inside the rooms\n")[2].partition("\n#")[0]
    modules = {module.name for module in figures.modules}
    _, *told = re.split(r"(?:^|\s)In `([a-z_/]+)`, ", section)
    for room, text in zip(told[::2], told[1::2], strict=True):
        for name in re.findall(r"`([a-z_/.]+)`", text):
            inside = name.replace("/", ".") if "/" in name else f"{room.replace('/', '.')}.{name}"
            assert {inside, f"{inside}.__init__"} & modules, f"{room} has no {name}"


def test_contributing_leads_to_files_that_there_are() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = page.partition("\n### Where does it live?\n")[2].partition("\n\nThe words")[0]
    ways = [way for way in re.findall(r"`([\w/]+(?:/|\.py))`", section) if "/" in way]
    assert len(ways) > 10
    assert [way for way in ways if not (house.PACKAGE / way).exists()] == []


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for path in sorted(house.PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(house.PACKAGE)))
    several = [f"{name}: {', '.join(where)}" for name, where in sorted(places.items()) if len(where) > 1]
    assert not several, "\n".join(several)


# The figures themselves


def test_imports_are_counted(tmp_path: Path) -> None:
    package = tmp_path / "cottage"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").write_text('"""A cottage."""\n')
    (package / "door.py").write_text(
        "import os\nfrom cottage.room import bed\nfrom cottage.room.bed import Pillow\n"
    )
    (package / "room" / "__init__.py").write_text("")
    (package / "room" / "bed.py").write_text(
        "if TYPE_CHECKING:\n    from cottage import door\nclass Pillow: ...\n"
    )
    figures = house.measure(package)
    assert {module.name: module.imports for module in figures.modules} == {
        "__init__": set(),
        "door": {"room.bed"},
        "room.__init__": set(),
        "room.bed": set(),
    }
    assert figures.at_the_root == ["__init__", "door"]
    assert figures.imports_per_module == 2 / 4  # those for types count
    assert figures.circles == []  # but make no circle
    assert figures.lines == 1 + 3 + 0 + 3


def test_circles_are_found() -> None:
    assert house.circles({"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": ["e"], "e": []}) == [["a", "b", "c"]]
    assert house.circles({"a": ["a"], "b": ["a"]}) == []
    assert house.circles({"a": ["b"], "b": ["a"], "c": ["d", "a"], "d": ["c"]}) == [["a", "b"], ["c", "d"]]


def test_a_walk_notes_what_ran_within_the_block() -> None:
    from hermes_retention.model import text

    text.format_size(1)
    with house.watching(Path(text.__file__).parents[1]) as walks:  # what runs is the installed package
        text.printable("x\n")
    assert walks[0].modules == {"model.text"}
    assert walks[0].pairs == 0
