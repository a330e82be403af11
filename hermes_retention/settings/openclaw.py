"""The defaults of homes of the OpenClaw family, where they differ from those of a Hermes home.

There, index entry and transcript leave as one thing: FILES_AFTER counts for both. What must not live here:
what a setting means.
"""

from __future__ import annotations

from hermes_retention.settings.fields import (
    ApiSettings,
    ChatSettings,
    ClassSettings,
    CronSettings,
    HookSettings,
    SubagentSettings,
    Values,
)
from hermes_retention.settings.forms import Count, DurationOrNever

_DAY = 24 * 3600


class BoundChatSettings(ChatSettings):
    """A key that people come back to: it stays until an age for it is set, and goes then."""

    files_after: DurationOrNever = 0
    keep_failed: DurationOrNever = 7 * _DAY
    idle_after: DurationOrNever = None


class BoundApiSettings(ApiSettings):
    """The same for the keys of programs."""

    files_after: DurationOrNever = 0
    keep_failed: DurationOrNever = 7 * _DAY
    idle_after: DurationOrNever = None


class BoundCliSettings(ClassSettings):
    """The same for the keys of editors and shells."""

    files_after: DurationOrNever = 0
    keep_failed: DurationOrNever = 7 * _DAY
    idle_after: DurationOrNever = None


class OpenClawCronSettings(CronSettings):
    """Each run has an entry of its own."""

    keep_last: Count = 0


class OpenClawSubagentSettings(SubagentSettings):
    """Nobody comes back to them."""

    keep_failed: DurationOrNever = 7 * _DAY


class OpenClawHookSettings(HookSettings):
    """Idle for an hour or a day old, whichever comes first: then they go."""

    files_after: DurationOrNever = 0
    keep_failed: DurationOrNever = 7 * _DAY


class OtherSettings(ClassSettings):
    """Kinds of keys that nobody knows stay; orphans, which have no key, are archived after a week."""

    keep_failed: DurationOrNever = 7 * _DAY
    idle_after: DurationOrNever = None


class OpenClawValues(Values):
    """All settings, with these defaults."""

    chat: BoundChatSettings = BoundChatSettings()
    cron: OpenClawCronSettings = OpenClawCronSettings()
    subagent: OpenClawSubagentSettings = OpenClawSubagentSettings()
    hook: OpenClawHookSettings = OpenClawHookSettings()
    api: BoundApiSettings = BoundApiSettings()
    cli: BoundCliSettings = BoundCliSettings()
    other: OtherSettings = OtherSettings()
