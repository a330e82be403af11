"""The way in: read all places, check everything, and report every problem at once."""

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
from hermes_retention.settings.sources import Place, config, dotenv, environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails
    from pydantic_settings import PydanticBaseSettingsSource

    from hermes_retention.settings.forms import Mode

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

    @property
    def mode(self) -> Mode | None:
        """What sweeps may do; ``None`` when nobody has said so."""
        return self.values.mode

    @property
    def index_cache_max_bytes(self) -> int:
        """The largest index that is kept in memory."""
        return self.values.index.cache_max_bytes

    @property
    def compact_above(self) -> float:
        """The share of free pages, from 0 to 1, from which compacting the host's database is worth it."""
        return self.values.compact_above

    @property
    def compact_on_start(self) -> bool:
        """Whether the host's database is compacted before the gateway starts."""
        return self.values.compact_on_start

    @property
    def metrics_file(self) -> Path | None:
        """Where each sweep writes how the home is doing; ``None`` for nowhere."""
        return self.values.metrics_file

    @property
    def agent_tool(self) -> bool:
        """Whether the agent itself may search archived sessions."""
        return self.values.agent_tool

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
            SettingLine(variable(path), _text(texts, path), self.origins.get(path, "default"), description)
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
    home: Path, environ: Mapping[str, str] | None = None, *, defaults: type[Values] = Values
) -> Settings:
    """The settings that hold for ``home``: from ``environ``, its two files, or the ``defaults`` of its host.

    ``environ`` is the environment of this process unless it is given. A missing file is no problem. Raises
    ``SettingsError`` with one line for each wrong name, wrong value and unreadable file; of a setting that is
    given in several places only the value in effect is checked. Nothing is written.
    """
    places = (
        environment(os.environ if environ is None else environ),
        dotenv(home / ".env"),
        config(home / "config.yaml"),
    )
    problems = [problem for place in places for problem in place.problems]
    try:
        values = _join(places, defaults)
    except ValidationError as error:
        raise _refusal(problems + [_wrong_value(it, places) for it in error.errors()]) from None
    if problems:
        raise _refusal(problems)
    origins: dict[SettingPath, str] = {
        path: given.origin for place in reversed(places) for path, given in place.given.items()
    }
    return Settings(_agreeing(values, origins), origins)


def _agreeing(values: Values, origins: Mapping[SettingPath, str]) -> Values:
    """Whoever wants no trace of cron runs does not want the newest three of each job either."""
    if values.cron.persist or ("cron", "keep_last") in origins:
        return values
    return values.model_copy(update={"cron": values.cron.model_copy(update={"keep_last": 0})})


def _join(places: tuple[Place, ...], defaults: type[Values]) -> Values:
    class Joined(defaults):  # type: ignore[valid-type, misc]  # a class that is passed in
        @classmethod
        def settings_customise_sources(
            cls, *_: object, **__: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return places

    joined: Values = Joined()
    return joined


def _refusal(problems: list[str]) -> SettingsError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return SettingsError("settings", "\n  ".join([f"{count}, nothing was done", *problems]))


def _wrong_value(error: ErrorDetails, places: tuple[Place, ...]) -> str:
    path = tuple(str(part) for part in error["loc"])
    given = next(place.given[path] for place in places if path in place.given)
    shown = printable(given.text)
    if len(shown) > _LONGEST_SHOWN:
        shown = f"{shown[:_LONGEST_SHOWN]}…"
    why = error.get("ctx", {}).get("error", error["msg"])
    return f"{given.name}='{shown}' ({given.origin}): {why}"


def _text(texts: dict[str, Any], path: SettingPath) -> str:
    value: Any = texts
    for part in path:
        value = value[part]
    return "" if value is None else str(value)
