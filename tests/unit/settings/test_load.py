"""Settings from each place: which one wins, where it came from, and what policy follows."""

from __future__ import annotations

import gc
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hermes_retention.model.errors import SettingsError
from hermes_retention.model.session import SessionClass
from hermes_retention.policy.caps import Cap, Caps, Limit, Reaction
from hermes_retention.policy.lifecycle import Lifecycle, OnReset, Policy
from hermes_retention.settings.fields import (
    CLASSES,
    DESCRIPTIONS,
    OPENCLAW_DEFAULTS,
    SettingPath,
    Values,
    variable,
)
from hermes_retention.settings.forms import Mode
from hermes_retention.settings.load import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOUR, DAY = 3600, 86400

SAMPLES: dict[str, tuple[str, object]] = {
    "mode": ("observe", Mode.OBSERVE),
    "min_age": ("2m", 120),
    "max_disk": ("5GB", 5 * 10**9),
    "low_watermark": ("0.5", 0.5),
    "keep_free": ("3GiB", 3 * 2**30),
    "on_reset": ("keep", OnReset.KEEP),
    "dumps_after": ("5d", 5 * DAY),
    "compact_above": ("0.4", 0.4),
    "agent_tool": ("true", True),
    "compact_on_start": ("true", True),
    "metrics_file": ("/srv/retention.prom", Path("/srv/retention.prom")),
    "drill_sample": ("7", 7),
    "tool_output_above": ("2KiB", 2048),
    "startup_delay": ("30s", 30),
    "sweep_interval": ("2h", 2 * HOUR),
    "first_sweep_delay": ("0s", 0),
    "resume_max_age": ("10m", 600),
    "resume_max": ("3", 3),
    "leftovers_after": ("8d", 8 * DAY),
    "max_sessions": ("500", 500),
    "cache_max_bytes": ("2000000", 2_000_000),
    "files_after": ("3h", 3 * HOUR),
    "tool_output_after": ("4d", 4 * DAY),
    "messages_after": ("50d", 50 * DAY),
    "record_after": ("400d", 400 * DAY),
    "archive_after": ("9d", 9 * DAY),
    "keep_last": ("11", 11),
    "keep_failed": ("5h", 5 * HOUR),
    "idle_after": ("5m", 300),
    "max_age": ("6d", 6 * DAY),
    "archive": ("false", False),
    "persist": ("false", False),
    "alert_in_chat": ("true", True),
    "stop_cooldown": ("20m", 1200),
    "max_messages": ("600", 600),
    "max_bytes": ("2MB", 2 * 10**6),
    "max_tokens": ("3000000", 3 * 10**6),
    "max_cost_usd": ("2.5", 2.5),
    "max_tool_calls": ("40", 40),
    "max_messages_per_minute": ("300", 300),
    "alert_at": ("0.9", 0.9),
    "max_messages_action": ("stop", Reaction.STOP),
    "max_bytes_action": ("stop", Reaction.STOP),
    "max_tokens_action": ("alert", Reaction.ALERT),
    "max_cost_usd_action": ("alert", Reaction.ALERT),
    "max_tool_calls_action": ("alert", Reaction.ALERT),
    "max_messages_per_minute_action": ("alert", Reaction.ALERT),
}
"""For each field a text that is no default, and what it means."""
BESIDE_THE_POLICY = {
    *("mode", "compact_above", "startup_delay", "sweep_interval", "first_sweep_delay"),
    *("resume_max_age", "resume_max", "metrics_file", "agent_tool", "compact_on_start"),
}
"""Settings that do not say what happens to a session."""

CAPS_OF_ALL = ("alert_in_chat", "stop_cooldown")
"""What is said about caps for all classes together."""


def in_environment(_home: Path, path: SettingPath, text: str) -> tuple[str, dict[str, str]]:
    return "environment", {variable(path): text}


def in_dotenv(home: Path, path: SettingPath, text: str) -> tuple[str, dict[str, str]]:
    (home / ".env").write_text(f"{variable(path)}={text}\n")
    return str(home / ".env"), {}


def in_config(home: Path, path: SettingPath, text: str) -> tuple[str, dict[str, str]]:
    write_config(home, nested({path: text}))
    return str(home / "config.yaml"), {}


def nested(texts: Mapping[SettingPath, str]) -> str:
    """YAML as people write it: values without quotes."""
    lines: list[str] = []
    group: SettingPath = ()
    for *above, name in sorted(texts, key=lambda path: [(part not in CLASSES, part) for part in path]):
        for depth, part in enumerate(above):
            if tuple(above[: depth + 1]) != group[: depth + 1]:
                lines.append(f"{'  ' * depth}{part}:")
        group = tuple(above)
        lines.append(f"{'  ' * len(above)}{name}: {texts[*above, name]}")
    return "\n".join(lines)


def write_config(home: Path, entry: str) -> None:
    lines = ["plugins:", "  entries:", "    hermes-retention:"]
    (home / "config.yaml").write_text("\n".join([*lines, *(f"      {line}" for line in entry.splitlines())]))


def load(home: Path, **variables: str) -> Settings:
    return load_settings(home, {f"HERMES_RETENTION_{name}": text for name, text in variables.items()})


def field_of(settings: Settings, path: SettingPath) -> object:
    if path == ("index", "cache_max_bytes"):
        return settings.values.index.cache_max_bytes
    if path[-1] in CAPS_OF_ALL:
        return getattr(settings.caps(), path[-1])
    if path[0] in BESIDE_THE_POLICY:
        return getattr(settings.values, path[0])
    policy = settings.policy()
    if len(path) == 1:
        return getattr(policy, path[0])
    if path[1] == "caps":
        return cap_of(settings, path[0], path[2])
    return getattr(policy.lifecycles[SessionClass(path[0])], path[1])


def cap_of(settings: Settings, name: str, field: str) -> object:
    caps = settings.caps().classes[name]
    if field == "alert_at":
        return caps.alert_at
    if field in set(Cap):
        return caps.limits[Cap(field)].at
    # A cap that is off has no action: ask with all of them on.
    limits = dict.fromkeys((f"{name}__CAPS__{cap}".upper() for cap in Cap if cap is not Cap.BYTES), "9")
    values = {line.name: line.value for line in settings.describe() if line.origin != "default"}
    given = {f"HERMES_RETENTION_{name}": text for name, text in limits.items()}
    both = load_settings(Path("/nonexistent"), given | values)
    return both.caps().classes[name].limits[Cap(field.removesuffix("_action"))].action


def values_of(settings: Settings) -> dict[str, str]:
    return {line.name: line.value for line in settings.describe()}


# Defaults


def test_nothing_given_gives_the_documented_policy(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    output = 14 * DAY
    week = Lifecycle(7 * DAY, output, 90 * DAY)
    day = Lifecycle(DAY, output, 7 * DAY)
    assert settings.values.mode is None
    assert settings.policy() == Policy(
        {
            SessionClass.CHAT: week,
            SessionClass.CRON: msgspec.structs.replace(day, keep_last=3, keep_failed=7 * DAY),
            SessionClass.SUBAGENT: day,
            SessionClass.HOOK: msgspec.structs.replace(day, idle_after=HOUR, max_age=DAY),
            SessionClass.API: Lifecycle(7 * DAY, output, 30 * DAY),
            SessionClass.CLI: week,
            SessionClass.OTHER: week,
        },
        min_age=600,
        on_reset=OnReset.ARCHIVE,
        dumps_after=3 * DAY,
        max_disk=None,
        low_watermark=0.8,
        keep_free=None,
        tool_output_above=1000,
    )


def test_defaults_agree_with_those_of_the_policy_itself(tmp_path: Path) -> None:
    policy = load_settings(tmp_path, {}).policy()
    assert policy == Policy(policy.lifecycles)
    # Ages have no defaults of their own in the policy: what it is not told to remove stays.
    other = Lifecycle(files_after=7 * DAY, tool_output_after=14 * DAY, messages_after=90 * DAY)
    assert policy.lifecycles[SessionClass.OTHER] == other


def test_newest_runs_stay_without_persistence_only_if_asked_for(tmp_path: Path) -> None:
    assert load(tmp_path, CRON__PERSIST="false").policy().lifecycles[SessionClass.CRON].keep_last == 0
    given = load(tmp_path, CRON__PERSIST="false", CRON__KEEP_LAST="3")
    assert given.policy().lifecycles[SessionClass.CRON].keep_last == 3


def test_every_part_of_a_policy_can_be_set() -> None:
    general = {path[0] for path in DESCRIPTIONS if len(path) == 1}
    of_class = {path[1] for path in DESCRIPTIONS if path[0] in CLASSES and len(path) == 2}
    of_caps = {path[2] for path in DESCRIPTIONS if len(path) == 3}
    assert general == {*Policy.__struct_fields__, *BESIDE_THE_POLICY, *CAPS_OF_ALL} - {"lifecycles"}
    assert of_caps == {"alert_at", *Cap, *(f"{cap}_action" for cap in Cap)}
    assert of_class == set(Lifecycle.__struct_fields__)
    assert set(CLASSES) == {str(it) for it in SessionClass}


def test_chats_are_reset_and_everything_else_only_alerts_unless_told_otherwise(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {}).caps()
    assert set(settings.classes) == set(SessionClass)
    assert (settings.alert_in_chat, settings.stop_cooldown) == (False, 900)
    for name, caps in settings.classes.items():
        action = Reaction.RESET if name == "chat" else Reaction.ALERT
        assert caps == Caps({Cap.MESSAGES: Limit(1000, action), Cap.BYTES: Limit(10**7, action)}, 0.8)


def test_caps_that_are_off_stop_a_session_once_they_are_on(tmp_path: Path) -> None:
    names = ("MAX_TOKENS", "MAX_COST_USD", "MAX_TOOL_CALLS", "MAX_MESSAGES_PER_MINUTE")
    settings = load(tmp_path, **{f"CHAT__CAPS__{name}": "5" for name in names})
    limits = settings.caps().classes["chat"].limits
    assert {limits[Cap(name.lower())] for name in names} == {Limit(5, Reaction.STOP)}


def test_api_session_may_be_asked_to_reset_although_that_only_alerts(tmp_path: Path) -> None:
    settings = load(tmp_path, API__CAPS__MAX_MESSAGES_ACTION="reset")
    assert settings.caps().classes["api"].limits[Cap.MESSAGES].action is Reaction.RESET


def test_default_is_the_origin_of_what_nobody_gave(tmp_path: Path) -> None:
    assert {line.origin for line in load_settings(tmp_path, {}).describe()} == {"default"}


def test_home_that_does_not_exist_has_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none", {}).policy() == load_settings(tmp_path, {}).policy()


# Every setting, in every place

SOME_PATHS = tuple(path for path in DESCRIPTIONS if path[1:2] != ("caps",) or path[0] in {"chat", "cron"})
"""All of them, but caps of two classes only: one that can be reset and one that cannot."""


@pytest.mark.parametrize("place", [in_environment, in_dotenv, in_config])
@pytest.mark.parametrize("path", SOME_PATHS, ids=".".join)
def test_setting_is_taken_from(
    place: Callable[[Path, SettingPath, str], tuple[str, dict[str, str]]], path: SettingPath, tmp_path: Path
) -> None:
    before = {line.name: line for line in load_settings(tmp_path, {}).describe()}
    text, meaning = SAMPLES[path[-1]]
    origin, environ = place(tmp_path, path, text)
    settings = load_settings(tmp_path, environ)
    assert field_of(settings, path) == meaning
    after = {line.name: line for line in settings.describe()}
    if path == ("cron", "persist"):  # nobody who wants no trace of runs wants the newest ones
        keep_last = variable(("cron", "keep_last"))
        assert after[keep_last].value == "0"
        after[keep_last] = before[keep_last]
    changed = after.pop(variable(path))
    unchanged = before.pop(variable(path))
    assert (changed.value, changed.origin) == (text, origin)
    assert changed.value != unchanged.value
    assert after == before


def test_process_environment_is_the_default_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERMES_RETENTION_MODE", "observe")
    assert load_settings(tmp_path).values.mode is Mode.OBSERVE


def test_reading_settings_builds_no_class(tmp_path: Path) -> None:
    gc.disable()  # a class that nobody uses any more is still to be seen
    try:
        before = Values.__subclasses__()
        load_settings(tmp_path, {"HERMES_RETENTION_MODE": "observe"}, defaults=OPENCLAW_DEFAULTS)
        assert Values.__subclasses__() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("path", OPENCLAW_DEFAULTS, ids=variable)
def test_default_of_an_openclaw_home_gives_way_to_what_is_set(tmp_path: Path, path: SettingPath) -> None:
    text, _ = SAMPLES[path[-1]]
    unset = load_settings(tmp_path, {}, defaults=OPENCLAW_DEFAULTS)
    given = load_settings(tmp_path, {variable(path): text}, defaults=OPENCLAW_DEFAULTS)
    before, after = (
        {line.name: line for line in settings.describe()}[variable(path)] for settings in (unset, given)
    )
    assert (before.value, before.origin) == (OPENCLAW_DEFAULTS[path], "default")
    assert (after.value, after.origin) == (text, "environment")


# Which place wins

ORDER = ("environment", ".env", "config.yaml")


@pytest.mark.parametrize(
    "present", [it for count in (1, 2, 3) for it in itertools.combinations(ORDER, count)], ids="+".join
)
@pytest.mark.parametrize("path", [("dumps_after",), ("cron", "files_after")], ids=".".join)
def test_first_place_wins(path: SettingPath, present: tuple[str, ...], tmp_path: Path) -> None:
    texts = {"environment": "11h", ".env": "12h", "config.yaml": "13h"}
    environ: dict[str, str] = {}
    if "environment" in present:
        _, environ = in_environment(tmp_path, path, texts["environment"])
    if ".env" in present:
        in_dotenv(tmp_path, path, texts[".env"])
    if "config.yaml" in present:
        in_config(tmp_path, path, texts["config.yaml"])
    line = next(it for it in load_settings(tmp_path, environ).describe() if it.name == variable(path))
    winner = present[0]
    assert line.value == texts[winner]
    assert line.origin == (winner if winner == "environment" else str(tmp_path / winner))


def test_places_complete_one_another_within_a_class(tmp_path: Path) -> None:
    write_config(tmp_path, "cron: {files_after: 12h, keep_last: 5}")
    (tmp_path / ".env").write_text("HERMES_RETENTION_CRON__KEEP_LAST=6\n")
    cron = load(tmp_path, CRON__IDLE_AFTER="2h").policy().lifecycles[SessionClass.CRON]
    assert (cron.files_after, cron.keep_last, cron.idle_after) == (12 * HOUR, 6, 2 * HOUR)
    assert cron.keep_failed == 7 * DAY


def test_wrong_value_that_another_place_overrides_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HERMES_RETENTION_MIN_AGE=junk\n")
    assert load(tmp_path, MIN_AGE="5m").policy().min_age == 300


@pytest.mark.parametrize("empty", ["", "   ", "\t"])
def test_empty_value_leaves_the_word_to_the_next_place(empty: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f'HERMES_RETENTION_MODE="{empty}"\nHERMES_RETENTION_MIN_AGE=\n')
    write_config(tmp_path, "mode: observe\nmin_age: 20m\nmax_disk:\nkeep_free: ~\nchat:\ncron: null")
    settings = load(tmp_path, MODE=empty)
    assert settings.values.mode is Mode.OBSERVE
    assert settings.policy().min_age == 1200
    assert settings.policy().max_disk is None


# The files


def test_dotenv_may_use_all_of_its_syntax(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "\ufeff# comment\n"
        "export HERMES_RETENTION_MODE='observe'  # quiet\r\n"
        'HERMES_RETENTION_MIN_AGE = " 20m "\n'
        "HERMES_RETENTION_DUMPS_AFTER=1d\n"
        "HERMES_RETENTION_DUMPS_AFTER=2d\n"
        "HERMES_RETENTION_KEEP_FREE\n",
        encoding="utf-8",
    )
    settings = load_settings(tmp_path, {})
    assert settings.values.mode is Mode.OBSERVE
    assert settings.policy().min_age == 1200
    assert settings.policy().dumps_after == 2 * DAY


def test_what_belongs_to_other_programs_is_ignored(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(
        b"OPENAI_API_KEY=sk-1\nMODE=junk\nthis is no assignment\nNAME=\xff\xfe\nHERMES_HOME=/x\n"
        b"MY_HERMES_RETENTION_MODE=junk\nHERMES_RETENTION=junk\nHERMES_RETENTION_MODE=off\n"
    )
    (tmp_path / "config.yaml").write_text(
        "model: {provider: custom, when: 2024-99-99}\n"
        "mode: junk\n"
        "plugins:\n"
        "  enabled: [hermes-retention]\n"
        "  entries:\n"
        "    other: {mode: junk}\n"
        "    hermes-retention: {allow_tool_override: false, llm: {allowed_models: [a]}, min_age: 20m}\n"
    )
    settings = load_settings(tmp_path, {"MODE": "junk", "CHAT": "{", "API": "junk", "PATH": "/bin"})
    assert settings.values.mode is Mode.OFF
    assert settings.policy().min_age == 1200


def test_no_variable_is_replaced_inside_a_value(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SECRET=sk-1\nHERMES_RETENTION_MODE=${SECRET}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, {})
    assert "'${SECRET}'" in str(caught.value)
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "---\n", "model: x\n", "plugins:\n", "plugins: {entries: }\n"]
)
def test_config_without_our_entry_is_fine(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert load_settings(tmp_path, {}).policy() == load_settings(tmp_path / "none", {}).policy()


def test_config_may_use_anchors_and_merges(tmp_path: Path) -> None:
    write_config(tmp_path, "chat: &long {files_after: 4w}\ncli: {<<: *long, keep_last: 2}\napi: *long")
    lifecycles = load_settings(tmp_path, {}).policy().lifecycles
    (cli, api, chat) = (lifecycles[it] for it in (SessionClass.CLI, SessionClass.API, SessionClass.CHAT))
    assert (cli.files_after, cli.keep_last) == (28 * DAY, 2)
    assert (api.files_after, api.keep_last) == (chat.files_after, chat.keep_last) == (28 * DAY, 0)


def test_values_in_config_mean_what_is_written(tmp_path: Path) -> None:
    """YAML itself would make a boolean, an octal number and a float of these."""
    write_config(
        tmp_path, "mode: off\nmax_disk: off\nlow_watermark: 0.90\nchat: {keep_last: 010, archive: no}"
    )
    settings = load_settings(tmp_path, {})
    assert settings.values.mode is Mode.OFF
    assert settings.policy().max_disk is None
    assert settings.policy().low_watermark == 0.9
    assert settings.policy().lifecycles[SessionClass.CHAT].keep_last == 10
    assert not settings.policy().lifecycles[SessionClass.CHAT].archive


def test_files_may_be_symlinks(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    in_dotenv(elsewhere, ("mode",), "observe")
    in_config(elsewhere, ("min_age",), "20m")
    for name in (".env", "config.yaml"):
        (home / name).symlink_to(elsewhere / name)
    settings = load_settings(home, {})
    assert settings.values.mode is Mode.OBSERVE
    assert settings.policy().min_age == 1200


# There and back


def _duration() -> st.SearchStrategy[str]:
    number = st.one_of(st.integers(0, 10**6).map(str), st.decimals(0, 1000, places=2).map(str))
    return st.builds("{}{}{}".format, number, st.sampled_from(["", " "]), st.sampled_from("smhdwH"))


def _size(least: int) -> st.SearchStrategy[str]:
    units = ("B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "kb")
    return st.builds("{}{}".format, st.integers(least, 10**9), st.sampled_from(units))


_OFF = st.sampled_from(["never", "off", "OFF", "false"])
_FLAG = st.sampled_from(["true", "false", "yes", "no", "on", "off", "1", "0", "True"])
_SHARE = st.one_of(
    st.floats(1e-9, 1).map(lambda share: f"{share:.12f}"), st.integers(1, 100).map("{}%".format)
)
TEXTS: dict[str, st.SearchStrategy[str]] = {
    "mode": st.sampled_from(["enforce", "observe", "off", "Enforce"]),
    "min_age": st.builds("{}{}".format, st.integers(60, 10**6), st.sampled_from("smhdw")),
    "max_disk": _OFF | _size(1),
    "low_watermark": _SHARE,
    "compact_above": _SHARE,
    "agent_tool": _FLAG,
    "compact_on_start": _FLAG,
    "metrics_file": st.sampled_from(["off", "never", "/srv/retention.prom", "/a b/ü.prom"]),
    "keep_free": _OFF | _size(0),
    "tool_output_above": _size(256),
    "on_reset": st.sampled_from([str(it) for it in OnReset]),
    "startup_delay": _duration(),
    "first_sweep_delay": _duration(),
    "sweep_interval": st.builds("{}{}".format, st.integers(60, 10**6), st.sampled_from("smhdw")),
    "keep_last": st.integers(0, 999_999_999).map(str),
    "resume_max": st.integers(0, 999_999_999).map(str),
    "max_sessions": _OFF | st.integers(1, 999_999_999).map(str),
    "cache_max_bytes": st.integers(0, 999_999_999).map(str) | _size(0),
    "drill_sample": st.integers(0, 999_999_999).map(str),
    "archive": _FLAG,
    "persist": _FLAG,
}
_LIMITS = ("max_messages", "max_tokens", "max_tool_calls", "max_messages_per_minute")
TEXTS |= dict.fromkeys(_LIMITS, _OFF | st.integers(1, 999_999_999).map(str))
TEXTS |= {
    "max_bytes": _OFF | _size(1),
    "max_cost_usd": _OFF | st.decimals("0.01", 10**6, places=2).map(str),
    "alert_at": st.integers(1, 100).map("{}%".format),
    "alert_in_chat": _FLAG,
}
TEXTS |= dict.fromkeys((f"{cap}_action" for cap in Cap), st.sampled_from(["alert", "Alert", "stop"]))
TEXTS |= dict.fromkeys(SAMPLES.keys() - TEXTS.keys(), _OFF | _duration())

some_settings = st.fixed_dictionaries({}, optional={path: TEXTS[path[-1]] for path in SOME_PATHS})


@given(some_settings)
def test_what_is_described_can_be_given_again(texts: dict[SettingPath, str]) -> None:
    nowhere = Path("/nonexistent")
    settings = load_settings(nowhere, {variable(path): f" {text} " for path, text in texts.items()})
    again = load_settings(nowhere, values_of(settings))
    assert again.policy() == settings.policy()
    assert again.caps() == settings.caps()
    assert again.values.mode is settings.values.mode
    assert values_of(again) == values_of(settings)
    given_somewhere = {line.name for line in settings.describe() if line.origin != "default"}
    assert given_somewhere == {variable(path) for path in texts}


@given(some_settings)
def test_host_that_rewrites_its_config_changes_no_setting(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[SettingPath, str]
) -> None:
    home = tmp_path_factory.mktemp("home")
    for share in ("low_watermark", "compact_above"):
        texts.pop((share,), None)  # a share of 0.00001 would come back as 1.0e-05
    settings = load_settings(home, {variable(path): text for path, text in texts.items()})
    described = values_of(settings)
    write_config(home, nested({path: described[variable(path)] for path in DESCRIPTIONS}))
    written = load_settings(home, {})
    config = home / "config.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text())))
    rewritten = load_settings(home, {})
    assert settings.policy() == written.policy() == rewritten.policy()
    assert settings.caps() == written.caps() == rewritten.caps()
    assert settings.values.mode is written.values.mode is rewritten.values.mode


def test_policy_is_made_of_plain_values(tmp_path: Path) -> None:
    policy = load(tmp_path, MAX_DISK="5GB").policy()
    assert msgspec.convert(msgspec.to_builtins(policy), Policy) == policy
