"""The way in: read all sources, check everything, and report every problem at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from hermes_retention.model.errors import SettingsError
from hermes_retention.model.session import SessionClass
from hermes_retention.model.text import printable
from hermes_retention.policy.caps import Cap, Caps, CapSettings, Limit
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.settings.fields import CLASSES, DESCRIPTIONS, CapsOfClass, SettingPath, Values, variable
from hermes_retention.settings.sources import (
    DEFAULT,
    SettingsSource,
    config,
    dotenv,
    environment,
    host_defaults,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

_LONGEST_SHOWN = 60
"""Characters of a wrong value that a message repeats."""


@dataclass(frozen=True, slots=True)
class SettingLine:
    """A setting as ``hermes-retention settings`` shows it."""

    name: str
    """Its environment variable."""
    value: str
    """In the form in which it can be given again; empty when it is not set and there is no default."""
    origin: str
    """``default``, ``environment``, or the path of the file that gives it."""
    description: str


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """All settings in effect, checked. ``load_settings`` makes them."""

    values: Values
    origins: Mapping[SettingPath, str]
    """Where those come from that are not defaults."""

    def policy(self) -> Policy:
        """What ``decide`` follows."""
        fields = self.values.model_dump(include={*Policy.__struct_fields__, *CLASSES})
        lifecycles = {SessionClass(name): _lifecycle(fields.pop(name)) for name in CLASSES}
        return Policy(lifecycles=lifecycles, **fields)

    def caps(self) -> CapSettings:
        """What a session may grow to while it lives, by class."""
        return CapSettings(
            classes={SessionClass(name): _caps(getattr(self.values, name).caps) for name in CLASSES},
            alert_in_chat=self.values.alert_in_chat,
            stop_cooldown=self.values.stop_cooldown,
        )

    def describe(self) -> list[SettingLine]:
        """Every setting there is: those for everything first, then class by class."""
        texts = self.values.model_dump(mode="json")
        return [
            SettingLine(variable(path), _text(texts, path), self.origins.get(path, DEFAULT), description)
            for path, description in DESCRIPTIONS.items()
        ]


def _lifecycle(fields: dict[str, Any]) -> Lifecycle:
    return Lifecycle(**{name: value for name, value in fields.items() if name != "caps"})


def _caps(values: CapsOfClass) -> Caps:
    limits = {
        cap: Limit(limit, getattr(values, f"{cap}_action"))
        for cap in Cap
        if (limit := getattr(values, cap)) is not None
    }
    return Caps(limits, values.alert_at)


def load_settings(
    home: Path, environ: Mapping[str, str] | None = None, *, defaults: Mapping[SettingPath, str] | None = None
) -> Settings:
    """The settings that hold for ``home``: from ``environ``, its two files, or the defaults.

    ``environ`` is the environment of this process unless it is given. ``defaults`` are those of the home's
    host, where they differ: ``OPENCLAW_DEFAULTS``. A missing file is no problem. Raises
    ``SettingsError`` with one line for each wrong name, wrong value and unreadable file; of a setting that is
    given in several sources only the value in effect is checked. Nothing is written.
    """
    sources = (
        environment(os.environ if environ is None else environ),
        dotenv(home / ".env"),
        config(home / "config.yaml"),
    )
    problems = [problem for source in sources for problem in source.problems]
    try:
        values = Values(*sources, host_defaults(defaults or {}))
    except ValidationError as error:
        raise _refusal(problems + [_wrong_value(details, sources) for details in error.errors()]) from None
    if problems:
        raise _refusal(problems)
    origins: dict[SettingPath, str] = {
        path: given.origin for source in reversed(sources) for path, given in source.given.items()
    }
    return Settings(_agreeing(values, origins), origins)


def default_settings(defaults: Mapping[SettingPath, str] | None = None) -> Settings:
    """What holds when nothing is set. Reads no file and no environment."""
    return Settings(Values(host_defaults(defaults or {})), {})


def _agreeing(values: Values, origins: Mapping[SettingPath, str]) -> Values:
    """Whoever wants no trace of cron runs does not want the newest three of each job either."""
    if values.cron.persist or ("cron", "keep_last") in origins:
        return values
    return values.model_copy(update={"cron": values.cron.model_copy(update={"keep_last": 0})})


def _refusal(problems: list[str]) -> SettingsError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = map(printable, problems)  # names and values may be anything, also several lines
    return SettingsError("settings", "\n  ".join([f"{count}, nothing was done", *lines]))


def _wrong_value(error: ErrorDetails, sources: tuple[SettingsSource, ...]) -> str:
    path = tuple(str(part) for part in error["loc"])
    given = next(source.given[path] for source in sources if path in source.given)
    shown = given.text
    if len(shown) > _LONGEST_SHOWN:
        shown = f"{shown[:_LONGEST_SHOWN]}…"
    why = error.get("ctx", {}).get("error", error["msg"])
    return f"{given.name}='{shown}' ({given.origin}): {why}"


def _text(texts: dict[str, Any], path: SettingPath) -> str:
    value: Any = texts
    for part in path:
        value = value[part]
    return "" if value is None else str(value)
