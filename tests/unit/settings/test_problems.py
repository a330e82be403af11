"""Settings that are wrong: every problem is said, once, with its name, its place and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hermes_retention.model.errors import ExitCode, SettingsError
from hermes_retention.model.text import DURATION_FORM, SIZE_FORM
from hermes_retention.settings.fields import DESCRIPTIONS, SettingPath, variable
from hermes_retention.settings.load import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENTRY = "plugins.entries.hermes-retention"
CAPS = f"{ENTRY}.chat.caps"
KEEP_LAST = "HERMES_RETENTION_CRON__KEEP_LAST"
DURATION = f"write {DURATION_FORM}; or never"
SIZE = f"write {SIZE_FORM}; or off"
OUTPUT_SIZE = f"write {SIZE_FORM}; at least 256B"
MIN_AGE = f"write {DURATION_FORM}; at least 60s"
COUNT = "write a whole number from 0 to 999999999"
SHARE = "write a share above 0 and up to 1, such as 0.8 or 80%"
LIMIT = "write a whole number from 1 to 999999999, or off"
NO_LIMIT = "no session fits into a limit of 0; write off for no limit"
DOLLARS = "write US dollars as a number, such as 5 or 2.50, or off"
NO_RESET = "no later message could start a fresh session here; write alert or stop"
ONE_RUN = ("CRON", "SUBAGENT", "HOOK", "CLI", "OTHER")
UNIT = "a number alone has no unit"
NEGATIVE = "it cannot be negative"


def write_entry(home: Path, entry: str) -> Path:
    lines = ["plugins:", "  entries:", "    hermes-retention:", *(f"      {it}" for it in entry.splitlines())]
    config = home / "config.yaml"
    config.write_text("\n".join(lines))
    return config


def problems(home: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """The lines of the refusal, without its head."""
    with pytest.raises(SettingsError) as caught:
        load_settings(home, environ or {})
    assert caught.value.exit_code is ExitCode.USAGE
    head, *lines = str(caught.value).split("\n  ")
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert head == f"settings: {count}, nothing was done"
    return lines


def test_all_problems_of_all_places_are_listed(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("HERMES_RETENTION_MAX_DISC=5GB\nHERMES_RETENTION_KEEP_FREE=5\n")
    config = write_entry(
        tmp_path, "mode: on\nmax-disk: 5GB\ncron: {files_after: 12, persists: false}\nhook: [1]\nchat: 7d"
    )
    environ = {"HERMES_RETENTION_CRON__KEEP_LST": "3", "HERMES_RETENTION_HOOK__ARCHIVE": "maybe"}
    assert problems(tmp_path, environ) == [
        f"{variable(('cron', 'keep_lst'))} (environment): no such setting; the nearest is {KEEP_LAST}",
        f"HERMES_RETENTION_MAX_DISC ({dotenv}): no such setting; the nearest is HERMES_RETENTION_MAX_DISK",
        f"{ENTRY}.max-disk ({config}): no such setting; the nearest is {ENTRY}.max_disk",
        f"{ENTRY}.cron.persists ({config}): no such setting; the nearest is {ENTRY}.cron.persist",
        f"{ENTRY}.hook ({config}): a class of sessions, not a setting; a setting is {ENTRY}.hook.files_after",
        f"{ENTRY}.chat ({config}): a class of sessions, not a setting; a setting is {ENTRY}.chat.files_after",
        f"{ENTRY}.mode='on' ({config}): write enforce, observe or off",
        f"HERMES_RETENTION_KEEP_FREE='5' ({dotenv}): {UNIT}; {SIZE}",
        f"{ENTRY}.cron.files_after='12' ({config}): {UNIT}; {DURATION}",
        "HERMES_RETENTION_HOOK__ARCHIVE='maybe' (environment): write true or false",
    ]


# Wrong names


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("HERMES_RETENTION_MODEE", "MODE"),
        ("HERMES_RETENTION_MINAGE", "MIN_AGE"),
        ("HERMES_RETENTION__MIN_AGE", "MIN_AGE"),
        ("HERMES_RETENTION_MAX-DISK", "MAX_DISK"),
        ("HERMES_RETENTION_MAX_DISK_SIZE", "MAX_DISK"),
        ("HERMES_RETENTION_CRON_FILES_AFTER", "CRON__FILES_AFTER"),
        ("HERMES_RETENTION_CRON__FILE_AFTER", "CRON__FILES_AFTER"),
        ("HERMES_RETENTION_CRON__FILES_AFTER__X", "CRON__FILES_AFTER"),
        ("HERMES_RETENTION_CHATS__FILES_AFTER", "CHAT__FILES_AFTER"),
        ("HERMES_RETENTION_CHAT__PERSIST", "CRON__PERSIST"),
        ("HERMES_RETENTION_CHAT__MAX_MESSAGES", "CHAT__CAPS__MAX_MESSAGES"),
        ("HERMES_RETENTION_CHAT__CAPS_MAX_MESSAGES", "CHAT__CAPS__MAX_MESSAGES"),
        ("hermes_retention_mode", "MODE"),
        ("Hermes_Retention_cron__KEEP_LAST", "CRON__KEEP_LAST"),
    ],
)
@pytest.mark.parametrize("text", ["7d", ""])
def test_misspelt_variable_names_the_nearest(name: str, nearest: str, text: str, tmp_path: Path) -> None:
    line = f"{name} (environment): no such setting; the nearest is HERMES_RETENTION_{nearest}"
    assert problems(tmp_path, {name: text}) == [line]


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=".".join)
def test_one_letter_too_few_is_always_noticed(path: SettingPath, tmp_path: Path) -> None:
    [line] = problems(tmp_path, {variable(path)[:-1]: "1"})
    assert line.endswith(f"the nearest is {variable(path)}")


def test_class_alone_is_no_variable(tmp_path: Path) -> None:
    [line] = problems(tmp_path, {"HERMES_RETENTION_CRON": "7d"})
    assert line == (
        "HERMES_RETENTION_CRON (environment): a class of sessions, not a setting; "
        "a setting is HERMES_RETENTION_CRON__FILES_AFTER"
    )


@pytest.mark.parametrize(
    ("entry", "key", "what"),
    [
        ("Mode: off", "Mode", f"no such setting; the nearest is {ENTRY}.mode"),
        ("MIN_AGE: 20m", "MIN_AGE", f"no such setting; the nearest is {ENTRY}.min_age"),
        ("max-disk: 5GB", "max-disk", f"no such setting; the nearest is {ENTRY}.max_disk"),
        ("maxdisk:", "maxdisk", f"no such setting; the nearest is {ENTRY}.max_disk"),
        ("cron__keep_last: 1", "cron__keep_last", f"no such setting; the nearest is {ENTRY}.cron.keep_last"),
        ("cron: {keeplast: 1}", "cron.keeplast", f"no such setting; the nearest is {ENTRY}.cron.keep_last"),
        (
            "cron: {keeplast: {a: 1}}",
            "cron.keeplast",
            f"no such setting; the nearest is {ENTRY}.cron.keep_last",
        ),
        ("Cron: {keep_last: 1}", "Cron", f"no such class of sessions; the nearest is {ENTRY}.cron"),
        ("corn: {keep_last: 1}", "corn", f"no such class of sessions; the nearest is {ENTRY}.cron"),
        (
            "sub-agent: {keep_last: 1}",
            "sub-agent",
            f"no such class of sessions; the nearest is {ENTRY}.subagent",
        ),
        ("chat: {cups: {max_messages: 5}}", "chat.cups", f"no such group of settings; the nearest is {CAPS}"),
        (
            "chat: {caps: {max_message: 5}}",
            "chat.caps.max_message",
            f"no such setting; the nearest is {CAPS}.max_messages",
        ),
        (
            "chat: {caps: 5}",
            "chat.caps",
            f"a group of settings, not a setting; a setting is {CAPS}.max_messages",
        ),
        ("min_age: {cron: 20m}", "min_age", "one value is expected, not a list or a mapping"),
        ("cron: {files_after: [1d]}", "cron.files_after", "one value is expected, not a list or a mapping"),
    ],
)
def test_misspelt_key_names_the_nearest(entry: str, key: str, what: str, tmp_path: Path) -> None:
    config = write_entry(tmp_path, entry)
    assert problems(tmp_path) == [f"{ENTRY}.{key} ({config}): {what}"]


@pytest.mark.parametrize("section", ["hermes_retention", "Hermes-Retention"])
def test_misspelt_section_is_noticed(section: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"plugins: {{entries: {{{section}: {{mode: off}}}}}}")
    assert problems(tmp_path) == [f"{config}: plugins.entries has {section}; write hermes-retention"]


# Wrong values


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("MODE", "enforced", "write enforce, observe or off"),
        ("MODE", "never", "write enforce, observe or off"),
        ("MODE", "true", "write enforce, observe or off"),
        ("ON_RESET", "remove", "write archive, delete or keep"),
        ("ON_RESET", "false", "write archive, delete or keep"),
        ("MIN_AGE", "59s", f"too short; {MIN_AGE}"),
        ("MIN_AGE", "0.5m", f"too short; {MIN_AGE}"),
        ("MIN_AGE", "600", f"{UNIT}; {MIN_AGE}"),
        ("MIN_AGE", "never", MIN_AGE),
        ("MIN_AGE", "-10m", f"{NEGATIVE}; {MIN_AGE}"),
        ("MAX_DISK", "5", f"{UNIT}; {SIZE}"),
        ("MAX_DISK", "5G", SIZE),
        ("MAX_DISK", "5 d", SIZE),
        ("MAX_DISK", "-5GB", f"{NEGATIVE}; {SIZE}"),
        ("MAX_DISK", "0GB", "nothing fits into no bytes; write off for no limit"),
        ("MAX_DISK", "9" * 400 + "TB", SIZE),
        ("KEEP_FREE", "10%", SIZE),
        ("KEEP_FREE", "0", f"{UNIT}; {SIZE}"),
        ("TOOL_OUTPUT_ABOVE", "255B", f"too small; {OUTPUT_SIZE}"),
        ("TOOL_OUTPUT_ABOVE", "0B", f"too small; {OUTPUT_SIZE}"),
        ("TOOL_OUTPUT_ABOVE", "1000", f"{UNIT}; {OUTPUT_SIZE}"),
        ("TOOL_OUTPUT_ABOVE", "-1KB", f"{NEGATIVE}; {OUTPUT_SIZE}"),
        ("TOOL_OUTPUT_ABOVE", "off", OUTPUT_SIZE),
        ("LOW_WATERMARK", "80", SHARE),
        ("LOW_WATERMARK", "0", SHARE),
        ("LOW_WATERMARK", "0%", SHARE),
        ("LOW_WATERMARK", "101%", SHARE),
        ("LOW_WATERMARK", "-0.5", SHARE),
        ("LOW_WATERMARK", "nan", SHARE),
        ("LOW_WATERMARK", "1e-1", SHARE),
        ("LOW_WATERMARK", "off", SHARE),
        ("DUMPS_AFTER", "3", f"{UNIT}; {DURATION}"),
        ("DUMPS_AFTER", "3.5", f"{UNIT}; {DURATION}"),
        ("CRON__FILES_AFTER", "0", f"{UNIT}; {DURATION}"),
        ("CRON__FILES_AFTER", "-7d", f"{NEGATIVE}; {DURATION}"),
        ("CRON__FILES_AFTER", "7 days", DURATION),
        ("CRON__FILES_AFTER", "1d12h", DURATION),
        ("CRON__FILES_AFTER", "7MB", DURATION),
        ("CRON__FILES_AFTER", "\u0667d", DURATION),
        ("CRON__FILES_AFTER", "9" * 400 + "d", DURATION),
        ("CHAT__MESSAGES_AFTER", "90", f"{UNIT}; {DURATION}"),
        ("CHAT__RECORD_AFTER", "forever", DURATION),
        ("CHAT__ARCHIVE_AFTER", "forever", DURATION),
        ("CHAT__IDLE_AFTER", "none", DURATION),
        ("API__KEEP_FAILED", "7", f"{UNIT}; {DURATION}"),
        ("CLI__KEEP_LAST", "-1", COUNT),
        ("CLI__KEEP_LAST", "1.5", COUNT),
        ("CLI__KEEP_LAST", "3d", COUNT),
        ("CLI__KEEP_LAST", "never", COUNT),
        ("CLI__KEEP_LAST", "1000000000", COUNT),
        ("OTHER__ARCHIVE", "maybe", "write true or false"),
        ("OTHER__ARCHIVE", "never", "write true or false"),
        ("CRON__PERSIST", "2", "write true or false"),
        ("CHAT__CAPS__MAX_MESSAGES", "-1", LIMIT),
        ("CHAT__CAPS__MAX_MESSAGES", "1.5", LIMIT),
        ("CHAT__CAPS__MAX_MESSAGES", "0", NO_LIMIT),
        ("CHAT__CAPS__MAX_BYTES", "10", f"{UNIT}; {SIZE}"),
        ("CHAT__CAPS__MAX_BYTES", "-1MB", f"{NEGATIVE}; {SIZE}"),
        ("CHAT__CAPS__MAX_COST_USD", "-2", DOLLARS),
        ("CHAT__CAPS__MAX_COST_USD", "5EUR", DOLLARS),
        ("CHAT__CAPS__MAX_COST_USD", "0.00", NO_LIMIT),
        ("CHAT__CAPS__MAX_TOOL_CALLS", "many", LIMIT),
        ("CHAT__CAPS__ALERT_AT", "0", SHARE),
        ("CHAT__CAPS__MAX_MESSAGES_ACTION", "warn", "write alert, reset or stop"),
        ("API__CAPS__MAX_MESSAGES_ACTION", "kill", "write alert, reset or stop"),
        ("CRON__CAPS__MAX_MESSAGES_ACTION", "kill", "write alert or stop"),
        *((f"{name}__CAPS__MAX_TOKENS_ACTION", "reset", NO_RESET) for name in ONE_RUN),
        ("STOP_COOLDOWN", "15", f"{UNIT}; {DURATION}"),
        ("ALERT_IN_CHAT", "2", "write true or false"),
    ],
)
def test_wrong_value_says_what_would_be_right(name: str, text: str, why: str, tmp_path: Path) -> None:
    environ = {f"HERMES_RETENTION_{name}": f" {text} "}
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    assert problems(tmp_path, environ) == [f"HERMES_RETENTION_{name}='{shown}' (environment): {why}"]


def test_value_is_shown_on_one_line_of_text(tmp_path: Path) -> None:
    environ = {"HERMES_RETENTION_MODE": "en\x1b[31mforce\n\udcff", "HERMES_RETENTION_\n": "x"}
    lines = problems(tmp_path, environ)
    assert lines[0].startswith("HERMES_RETENTION_\\n (environment): no such setting")
    assert (
        lines[1]
        == r"HERMES_RETENTION_MODE='en\x1b[31mforce\n\xff' (environment): write enforce, observe or off"
    )


def test_place_is_shown_on_one_line_of_text(tmp_path: Path) -> None:
    home = tmp_path / "a\nhome"
    home.mkdir()
    (home / ".env").write_text("HERMES_RETENTION_MODE=x")
    assert problems(home)[0].endswith(r"a\nhome/.env): write enforce, observe or off")


# Wrong files


@pytest.mark.parametrize(
    "line", ["HERMES_RETENTION_MODE enforce", "export HERMES_RETENTION_MODE: off", "'HERMES_RETENTION_X"]
)
def test_line_of_ours_that_is_no_assignment(line: str, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"# one\nTWO=2\n\n\n{line}\nSIX=6\nand seven\n")
    assert problems(tmp_path) == [f"{dotenv}: line 5 is not understood; write NAME=value"]


@pytest.mark.parametrize("name", [".env", "config.yaml"])
def test_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    assert problems(tmp_path) == [f"{tmp_path / name}: cannot be read (Is a directory)"]
    (tmp_path / name).rmdir()
    (tmp_path / name).symlink_to(name)
    [line] = problems(tmp_path)
    assert line.startswith(f"{tmp_path / name}: cannot be read (")


SECRET = "sk1secret"  # what must never be repeated


@pytest.mark.parametrize(
    "damaged",
    [
        f"a: {SECRET}\n  b: 1\n",
        f"a: *{SECRET}\n",
        f"a: !{SECRET} b\n",
        f"a: !!int {SECRET}\n",
        f"a: !!bool {SECRET}\n",
        f"a: !!timestamp {SECRET}\n",
        f"a: !!float {SECRET}\n",
        f"? [{SECRET}]\n: b\n",
        f"a: 'never ends {SECRET}\n",
        f"\t{SECRET}: 1\n",
        f"a: {SECRET}\n---\nb: 1\n",
        f"%{SECRET}\na: 1\n",
        f"{SECRET}: \x07\n",
        "[" * 5000,
    ],
)
def test_damaged_config_is_named_and_not_quoted(damaged: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(damaged)
    [line] = problems(tmp_path)
    assert line.startswith(f"{config}: not valid YAML: ")
    assert SECRET not in line


def test_damaged_config_says_where(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("a: 1\nb: *none\n")
    assert problems(tmp_path) == [f"{config}: not valid YAML: line 2, column 4: found undefined alias"]


def test_config_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"a: \xff\xfe\n")
    assert problems(tmp_path) == [
        f"{tmp_path / 'config.yaml'}: not valid YAML: no text, or nested too deeply"
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- a\n", "the file"),
        ("only words", "the file"),
        ("plugins: [hermes-retention]", "plugins"),
        ("plugins: {entries: [hermes-retention]}", "plugins.entries"),
        ("plugins: {entries: {hermes-retention: enforce}}", ENTRY),
        ("plugins: {entries: {hermes-retention: [mode]}}", ENTRY),
    ],
)
def test_config_of_another_shape(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert problems(tmp_path) == [f"{tmp_path / 'config.yaml'}: {what} is not a mapping"]


def test_damaged_config_does_not_hide_other_problems(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: [")
    (tmp_path / ".env").write_text("HERMES_RETENTION_MOD=off")
    lines = problems(tmp_path, {"HERMES_RETENTION_MIN_AGE": "1"})
    assert [line.split(" ")[0] for line in lines] == [
        "HERMES_RETENTION_MOD",
        f"{tmp_path / 'config.yaml'}:",
        "HERMES_RETENTION_MIN_AGE='1'",
    ]
