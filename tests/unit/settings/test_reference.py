"""The reference page lists exactly the settings that there are, and its examples work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from settings_tables import NO_SETTING, tables

from hermes_retention.model.errors import SettingsError
from hermes_retention.model.plan import Tier
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.lifecycle import OnReset
from hermes_retention.settings.fields import CLASSES, DESCRIPTIONS, variable
from hermes_retention.settings.forms import Mode
from hermes_retention.settings.load import Settings, load_settings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "settings.md").read_text(
    encoding="utf-8"
)
FILES = {"ini": ".env", "yaml": "config.yaml"}
EXAMPLES = re.findall(r"^```(ini|yaml)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def _made() -> str:
    begin = re.search(r"<!-- begin: .* -->\n\n", PAGE)
    assert begin is not None
    return PAGE[begin.end() : PAGE.index("\n\n<!-- end -->")]


def _documented() -> dict[str, str]:
    """Variable → default, read from the page as a person reads it."""
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in _made().splitlines()
        if "|" in line
    ]
    found = {cells[0]: cells[1] for cells in rows if len(cells) == 3 and cells[0].startswith("HERMES_")}
    wide = [cells for cells in rows if len(cells) > 3]
    classes = wide[0][1:]
    for setting, *defaults in wide[2:]:
        for name, default in zip(classes, defaults, strict=True):
            if default != NO_SETTING:
                found[f"HERMES_RETENTION_{name}__{setting}"] = default
    return found


def test_page_has_the_tables_as_they_are_made() -> None:
    assert _made() == tables()


def test_every_setting_is_documented_and_no_other(tmp_path: Path) -> None:
    lines = load_settings(tmp_path, {}).describe()
    assert _documented() == {line.name: line.value or "not set" for line in lines}
    for name in re.findall(r"HERMES_RETENTION_\w*[A-Z]", PAGE.partition("## When something is wrong")[0]):
        assert name in {line.name for line in lines} or name.startswith("HERMES_RETENTION_CLASS__")


def test_every_class_setting_has_its_line() -> None:
    explained = set(re.findall(r"HERMES_RETENTION_CLASS__(\w+)", _made()))
    assert explained == {"__".join(path[1:]).upper() for path in DESCRIPTIONS if path[0] in CLASSES}


def test_description_is_one_line_that_says_how_to_write_it() -> None:
    for description in DESCRIPTIONS.values():
        assert description.isprintable()
        assert description.endswith(".")
        assert "|" not in description


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_example_is_accepted(kind: str, text: str, tmp_path: Path) -> None:
    (tmp_path / FILES[kind]).write_text(text)
    settings = load_settings(tmp_path, {})
    assert settings.values.mode is Mode.ENFORCE
    assert {line.origin for line in settings.describe()} == {"default", str(tmp_path / FILES[kind])}


def _example(number: int, home: Path) -> Settings:
    kind, text = EXAMPLES[number]
    (home / FILES[kind]).write_text(text)
    return load_settings(home, {})


def test_examples_do_what_they_say(tmp_path: Path) -> None:
    homes = [tmp_path / str(number) for number in range(4)]
    for home in homes:
        home.mkdir()
    cron = _example(1, homes[1]).policy().lifecycles[SessionClass.CRON]
    assert (cron.files_after, cron.keep_last) == (6 * 3600, 1)
    keep = _example(2, homes[2]).policy()
    assert {it.after(tier) for it in keep.lifecycles.values() for tier in Tier} == {None}
    assert keep.on_reset is OnReset.KEEP
    assert keep.dumps_after == 86400
    budget = _example(3, homes[3]).policy()
    assert budget.max_disk == 5 * 10**9
    assert budget.max_disk * budget.low_watermark == 3.5 * 10**9
    assert all(lifecycle.archive_after == 364 * 86400 for lifecycle in budget.lifecycles.values())


def test_example_of_a_refusal_is_what_one_looks_like(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HERMES_RETENTION_MIN_AGE=10\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {variable(("cron", "keep_last")).replace("__", "_"): "1"})
    assert f"{caught.value}\n".replace(str(tmp_path), "/home/me/.hermes") in PAGE
