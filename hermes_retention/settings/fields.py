"""The list of all settings: name, form, default and description, each said once.

The fields have the names that ``Policy`` and ``Lifecycle`` have, so that one becomes the other without a
table between them. What must not live here: where values come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from hermes_retention.policy.caps import Reaction
from hermes_retention.policy.lifecycle import OnReset
from hermes_retention.settings.forms import (
    ActionOfOneRun,
    AnyAction,
    Budget,
    ByteLimit,
    Count,
    DollarsOrOff,
    Duration,
    DurationOrNever,
    FileOrUnset,
    Flag,
    Interval,
    LimitOrOff,
    MinimumAge,
    ModeOrUnset,
    OutputSize,
    ResetAction,
    Share,
    SizeOrOff,
)

PREFIX = "HERMES_RETENTION_"
SECTION = "hermes-retention"
"""Key of ``plugins.entries`` in a home's ``config.yaml``."""

_ACTIONS = (
    "alert, reset (chats only; the next message starts a fresh session; alert for API sessions) or stop."
)

SettingPath = tuple[str, ...]
"""``("mode",)``, ``("cron", "files_after")`` or ``("chat", "caps", "max_messages")``."""

_HOUR = 3600
_DAY = 24 * _HOUR
_MB = 10**6


class CapsOfClass(BaseModel):
    """What a session of a class may grow to while it lives, and what happens then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_messages: LimitOrOff = Field(
        1000, description="Messages that a session may store. A whole number, or off."
    )
    max_messages_action: ActionOfOneRun = Field(
        Reaction.ALERT, description=f"What happens at MAX_MESSAGES: {_ACTIONS}"
    )
    max_bytes: Budget = Field(
        10 * _MB,
        description="What a session may store in rows and files, request dumps apart. A size, or off.",
    )
    max_bytes_action: ActionOfOneRun = Field(
        Reaction.ALERT, description=f"What happens at MAX_BYTES: {_ACTIONS}"
    )
    max_tokens: LimitOrOff = Field(
        None,
        description="Tokens that a session may use, cached ones included. A whole number, or off.",
    )
    max_tokens_action: ActionOfOneRun = Field(
        Reaction.STOP, description=f"What happens at MAX_TOKENS: {_ACTIONS}"
    )
    max_cost_usd: DollarsOrOff = Field(
        None,
        description="What a session may cost, where the host knows costs. US dollars such as 2.50, or off.",
    )
    max_cost_usd_action: ActionOfOneRun = Field(
        Reaction.STOP, description=f"What happens at MAX_COST_USD: {_ACTIONS}"
    )
    max_tool_calls: LimitOrOff = Field(
        None, description="Calls of tools within one turn. A whole number, or off."
    )
    max_tool_calls_action: ActionOfOneRun = Field(
        Reaction.STOP, description=f"What happens at MAX_TOOL_CALLS: {_ACTIONS}"
    )
    max_messages_per_minute: LimitOrOff = Field(
        None,
        description="Messages that a session may store within one minute; 300 is a good number where "
        "agents are left alone. A whole number, or off.",
    )
    max_messages_per_minute_action: ActionOfOneRun = Field(
        Reaction.STOP, description=f"What happens at MAX_MESSAGES_PER_MINUTE: {_ACTIONS}"
    )
    alert_at: Share = Field(
        0.8,
        description="The share of a cap at which an alert says that it is near, once for each session and "
        "cap. Above 0 and up to 1, or a percentage; 1 for no such alert.",
    )


class CapsOfChats(CapsOfClass):
    """The next message of a chat may start a fresh session."""

    max_messages_action: AnyAction = Reaction.RESET
    max_bytes_action: AnyAction = Reaction.RESET
    max_tokens_action: AnyAction = Reaction.STOP
    max_cost_usd_action: AnyAction = Reaction.STOP
    max_tool_calls_action: AnyAction = Reaction.STOP
    max_messages_per_minute_action: AnyAction = Reaction.STOP


class CapsOfApi(CapsOfChats):
    """A reset may be asked for, but only alerts: the client owns the id."""

    max_messages_action: AnyAction = Reaction.ALERT
    max_bytes_action: AnyAction = Reaction.ALERT


class ClassSettings(BaseModel):
    """The lifecycle of one class of sessions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files_after: DurationOrNever = Field(
        7 * _DAY,
        description="A session that is over gives its files to the archive after this long without activity. "
        "A duration, or never; MIN_AGE wins when it is longer.",
    )
    tool_output_after: DurationOrNever = Field(
        14 * _DAY,
        description="Large output of tools (see TOOL_OUTPUT_ABOVE) leaves the host's database for the "
        "archive after this long without activity; a short marker takes its place. A duration, or never.",
    )
    messages_after: DurationOrNever = Field(
        90 * _DAY,
        description="All messages leave the host's database for the archive after this long without "
        "activity; the session stays listed. A duration, or never.",
    )
    record_after: DurationOrNever = Field(
        None,
        description="The record itself leaves the host's database for the archive after this long without "
        "activity, with what compression continued and with all that was delegated. A duration, or never.",
    )
    archive_after: DurationOrNever = Field(
        None,
        description="An archived session is dropped for good this long after it was archived. "
        "A duration, or never.",
    )
    keep_last: Count = Field(
        0, description="The newest N sessions of each cron job or chat stay as they are. A whole number."
    )
    keep_failed: DurationOrNever = Field(
        0,
        description="A failed session stays as it is for at least this long. "
        "A duration (0s for no longer than others), or never for ever.",
    )
    idle_after: DurationOrNever = Field(
        _DAY,
        description="A session that nobody ended counts as over after this long without activity. "
        "A duration, or never.",
    )
    max_age: DurationOrNever = Field(
        None,
        description="A session that nobody ended counts as over this long after its start, busy or not. "
        "A duration, or never.",
    )
    archive: Flag = Field(
        default=True,
        description="false: files, messages and records of this class are removed for good, no copy is "
        "archived; tool output waits for MESSAGES_AFTER. true or false.",
    )
    caps: CapsOfClass = CapsOfClass()


class ChatSettings(ClassSettings):
    """Conversations with people."""

    caps: CapsOfChats = CapsOfChats()


class CronSettings(ClassSettings):
    """Runs of scheduled jobs: many, short, and seldom read again."""

    files_after: DurationOrNever = _DAY
    messages_after: DurationOrNever = 7 * _DAY
    keep_last: Count = 3
    keep_failed: DurationOrNever = 7 * _DAY
    persist: Flag = Field(
        default=True,
        description="false: a run gives its files and messages away as soon as it is over; KEEP_FAILED "
        "holds all the same, and so does KEEP_LAST, which is 0 then unless it is given. true or false.",
    )


class SubagentSettings(ClassSettings):
    """Sessions that another session started."""

    files_after: DurationOrNever = _DAY
    messages_after: DurationOrNever = 7 * _DAY


class HookSettings(ClassSettings):
    """Sessions for one event from outside; their route outlives them."""

    files_after: DurationOrNever = _DAY
    messages_after: DurationOrNever = 7 * _DAY
    idle_after: DurationOrNever = _HOUR
    max_age: DurationOrNever = _DAY


class ApiSettings(ClassSettings):
    """Conversations of programs, which mostly send them along again and need no old ones."""

    messages_after: DurationOrNever = 30 * _DAY
    caps: CapsOfApi = CapsOfApi()


class IndexSettings(BaseModel):
    """How the index of an OpenClaw home is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cache_max_bytes: ByteLimit = Field(
        1_000_000,
        description="An index of at most this size is kept in memory for as long as its file stays the same. "
        "A number of bytes; 0 keeps none.",
    )


class Values(BaseSettings):
    """All settings: what its sources say, the first of them first, or else the defaults.

    Raises ``ValidationError`` for texts that are no right values.
    """

    # Defaults are values, not texts: validators read texts.
    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=False)

    mode: ModeOrUnset = Field(
        None,
        description="enforce: sweeps archive and remove; observe: they only report; off: there are none. "
        "Not set: the first sweep that would remove something asks, and without a terminal only reports; "
        "in a gateway it is announced and waits for FIRST_SWEEP_DELAY.",
    )
    min_age: MinimumAge = Field(
        600,
        description="Nothing younger than this is touched, whatever else is set. A duration, at least 60s.",
    )
    max_disk: Budget = Field(
        None,
        description="What sessions, the host's database and the archive may take together; above it files "
        "and then messages of the oldest sessions that are over go, due or not. A size, or off.",
    )
    low_watermark: Share = Field(
        0.8,
        description="The share of MAX_DISK at which reclaiming stops. Above 0 and up to 1, or a percentage.",
    )
    keep_free: SizeOrOff = Field(
        None,
        description="What must stay free on the disk of the home; below it files of the oldest sessions that "
        "are over go, due or not. A size, or off.",
    )
    on_reset: ResetAction = Field(
        OnReset.ARCHIVE,
        description="What happens after MIN_AGE to the files of a session whose chat went on in a new one: "
        "archive, delete, or keep (until FILES_AFTER).",
    )
    dumps_after: DurationOrNever = Field(
        3 * _DAY,
        description="A request dump goes at this age, also that of a live session. A duration, or never.",
    )
    leftovers_after: DurationOrNever = Field(
        7 * _DAY,
        description="What an OpenClaw gateway set aside or left half written (.deleted, .reset, .bak, .tmp) "
        "goes at this age, also that of a live session. A duration, or never.",
    )
    max_sessions: LimitOrOff = Field(
        None,
        description="How many sessions an agent of an OpenClaw home may have; above it the oldest that are "
        "over go, due or not. A whole number, or off.",
    )
    tool_output_above: OutputSize = Field(
        1000,
        description="Tool output that takes more than this is large. A size, at least 256B.",
    )
    drill_sample: Count = Field(
        3,
        description="So many archived sessions, chosen at random, are read back at each sweep and compared "
        "with their checksums. A whole number; 0 for none.",
    )
    compact_above: Share = Field(
        0.25,
        description="The share of free pages in the host's database from which 'compact' is worth it. "
        "Above 0 and up to 1, or a percentage.",
    )
    compact_on_start: Flag = Field(
        default=False,
        description="true: 'prestart', which runs before the gateway does, compacts the host's database when "
        "that is worth it (COMPACT_ABOVE). true or false.",
    )
    metrics_file: FileOrUnset = Field(
        None,
        description="Each sweep writes how the home is doing into this file, for Prometheus. The whole path "
        "of a file, or off.",
    )
    agent_tool: Flag = Field(
        default=False,
        description="true: the agent itself can search archived sessions of the same user and platform with "
        "the tool archived_session_search. true or false.",
    )
    alert_in_chat: Flag = Field(
        default=False,
        description="true: an alert about a cap is also told in the chat that it is about. true or false.",
    )
    stop_cooldown: DurationOrNever = Field(
        900,
        description="A session that a cap stopped answers again after this long, or when a new one is "
        "started. A duration, or never.",
    )
    startup_delay: Duration = Field(
        10,
        description="How long after its start a gateway begins its first sweep. A duration.",
    )
    sweep_interval: Interval = Field(
        _HOUR,
        description="How often a gateway sweeps while it runs. A duration, at least 60s.",
    )
    first_sweep_delay: Duration = Field(
        _DAY,
        description="With MODE not set, how long after a gateway has announced the first sweep of a home it "
        "carries it out. A duration.",
    )
    resume_max_age: DurationOrNever = Field(
        _HOUR,
        description="A session that was interrupted longer ago is not gone on with when a gateway starts. "
        "A duration, or never for no limit.",
    )
    resume_max: Count = Field(
        10, description="At most so many interrupted sessions are gone on with, the newest. A whole number."
    )
    index: IndexSettings = IndexSettings()
    chat: ChatSettings = ChatSettings()
    cron: CronSettings = CronSettings()
    subagent: SubagentSettings = SubagentSettings()
    hook: HookSettings = HookSettings()
    api: ApiSettings = ApiSettings()
    cli: ClassSettings = ClassSettings()
    other: ClassSettings = ClassSettings()

    def __init__(self, *sources: PydanticBaseSettingsSource) -> None:
        super().__init__(sources=sources)

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # of its five sources one is used
        cls, _: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **__: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Our own sources only: those of pydantic-settings would read variables without our prefix.

        They differ from home to home, so they come with each object. A class for each load would be built
        anew each time, which takes a hundred times as long as reading.
        """
        sources: tuple[PydanticBaseSettingsSource, ...]
        sources = cast("InitSettingsSource", init_settings).init_kwargs["sources"]
        return sources


def _groups(model: type[BaseModel], above: SettingPath = ()) -> Iterator[tuple[SettingPath, type[BaseModel]]]:
    """The mappings below ``model``: a class of sessions, the caps of a class."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield (*above, name), field.annotation
            yield from _groups(field.annotation, (*above, name))


def _description(model: type[BaseModel], name: str) -> str:
    """A class that changes a default inherits the description: pydantic itself forgets it then."""
    for base in model.__mro__:
        field = base.model_fields.get(name) if issubclass(base, BaseModel) else None
        if field is not None and field.description:
            return field.description
    raise LookupError(name)


def _descriptions() -> dict[SettingPath, str]:
    models: list[tuple[SettingPath, type[BaseModel]]] = [((), Values), *_groups(Values)]
    return {
        (*above, name): _description(model, name)
        for above, model in models
        for name in model.model_fields
        if (*above, name) not in GROUPS
    }


GROUPS = tuple(path for path, _ in _groups(Values))
"""Paths that hold settings and are none: ``("chat",)``, ``("chat", "caps")``."""

CLASSES = tuple(path[0] for path, model in _groups(Values) if issubclass(model, ClassSettings))
"""Names of the settings that hold the settings of a class."""

DESCRIPTIONS = _descriptions()
"""Every setting there is, in order, with what it does and how it is written."""


_KEPT_UNTIL_ASKED = {"files_after": "0s", "keep_failed": "7d", "idle_after": "never"}
"""A key that people or programs come back to: it stays until an age for it is set, and goes then."""
_OPENCLAW = {
    "chat": _KEPT_UNTIL_ASKED,
    "cron": {"keep_last": "0"},  # each run has an entry of its own
    "subagent": {"keep_failed": "7d"},  # nobody comes back to them
    "hook": {"files_after": "0s", "keep_failed": "7d"},  # idle for an hour or a day old: then they go
    "api": _KEPT_UNTIL_ASKED,
    "cli": _KEPT_UNTIL_ASKED,  # editors and shells
    "other": {"keep_failed": "7d", "idle_after": "never"},  # unknown keys stay; orphans go after a week
}

OPENCLAW_DEFAULTS: Mapping[SettingPath, str] = {
    (session_class, name): text for session_class, texts in _OPENCLAW.items() for name, text in texts.items()
}
"""Where the defaults of homes of the OpenClaw family differ from those of a Hermes home.

There, index entry and transcript leave as one thing: FILES_AFTER counts for both.
"""


def variable(path: SettingPath) -> str:
    """The environment variable of a setting: ``HERMES_RETENTION_CRON__FILES_AFTER``."""
    return PREFIX + "__".join(path).upper()


def config_key(path: SettingPath) -> str:
    """A setting's place in ``config.yaml``: ``plugins.entries.hermes-retention.cron.files_after``."""
    return ".".join(("plugins", "entries", SECTION, *path))
