"""Whole plans for small homes, kept here in ``*.toml``. ``README.md`` tells how to read and renew them."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path

import pytest
from inventories import NOW, Fact, Facts, archived, inventory, session
from verdicts import Verdict

from hermes_retention.model.plan import Plan, Rule, Step
from hermes_retention.model.session import Inventory, Lineage, SessionClass
from hermes_retention.model.text import parse_duration, parse_size
from hermes_retention.policy.decide import decide
from hermes_retention.settings.load import load_settings

HERE = Path(__file__).parent
GOLDENS = sorted(HERE.glob("*.toml"))
EXPECTED = "[expected]\n"
NOWHERE = Path("/nonexistent")

AGES = {"swept", "idle", "started", "ended_ago", "restored", "age"}
SIZES = {"size", "stored", "database", "free"}
INDENT = " " * 4


def fact_of(name: str, value: Fact) -> Fact:
    """A value of a golden as the argument of a builder."""
    if name in AGES:
        return age_of(value)
    if name in SIZES:
        return parse_size(value)
    if name in {"dumps", "leftovers"}:
        return [age_of(age) for age in value]
    return Lineage(value) if name == "lineage" else value


def facts_of(table: Facts, *, without: Collection[str] = ()) -> Facts:
    facts = {name: fact_of(name, value) for name, value in table.items() if name not in without}
    if facts.pop("messages_gone", False):  # TOML has no word for nothing
        facts["messages"] = None
    return facts


def age_of(text: str) -> int:
    """An age; with a minus it lies in the future."""
    return -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text)


def inventory_of(golden: Facts) -> Inventory:
    named = ("id", "class")
    sessions, copies = golden.get("session", []), golden.get("archived", [])
    return inventory(
        *(session(it["id"], SessionClass(it["class"]), **facts_of(it, without=named)) for it in sessions),
        copies=[
            archived(it["id"], SessionClass(it["class"]), **facts_of(it, without=named)) for it in copies
        ],
        holds=golden.get("holds"),
        pins=golden.get("pins"),
        **facts_of(golden.get("home", {})),
    )


def plan_of(golden: Facts) -> Plan:
    assert golden["now"].timestamp() == NOW, "all goldens show the same moment"
    policy = load_settings(NOWHERE, golden.get("settings", {})).policy()
    return decide(inventory_of(golden), policy, now=NOW)


def lines_of(step: Step) -> list[str]:
    """Verdict and session, then why, then the files that go."""
    facts = (
        step.verdict,
        step.session_id,
        step.session_class,
        step.liveness,
        step.rule,
        f"{step.bytes:,} bytes",
    )
    where = [f"in {step.partition}"] if step.partition else []
    return [
        "  ".join(facts),
        *(INDENT + line for line in (step.reason, *where, *(artifact.name for artifact in step.artifacts))),
    ]


def text_of(plan: Plan) -> str:
    """A plan as the last table of a golden."""
    lines = [line for step in plan.steps for line in lines_of(step)]
    warnings = "".join(f"warning = '''{warning}'''\n" for warning in plan.warnings)
    return EXPECTED + "plan = '''\n" + "\n".join([*lines, "'''\n"]) + warnings


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_plan_is_as_expected(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text(encoding="utf-8")
    given, separator, expected = text.partition(EXPECTED)
    actual = text_of(plan_of(tomllib.loads(given)))
    if request.config.getoption("--update-goldens"):
        path.write_text(given + actual, encoding="utf-8")
        return
    assert separator + expected == actual, f"{path.name}: see tests/golden/README.md"


def test_every_golden_is_valid_toml_with_a_title() -> None:
    titles = [tomllib.loads(path.read_text(encoding="utf-8"))["title"] for path in GOLDENS]
    assert len(set(titles)) == len(titles) >= 12


def test_goldens_show_every_rule_and_verdict() -> None:
    steps = [
        step for path in GOLDENS for step in plan_of(tomllib.loads(path.read_text(encoding="utf-8"))).steps
    ]
    assert {step.rule for step in steps} == set(Rule) - {Rule.DISCARDED, Rule.FORGOTTEN}
    assert {step.verdict for step in steps} == set(Verdict)
