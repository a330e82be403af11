"""The way in: read all sources, check everything, and report every problem at once.

Settings are given in the environment, a home's ``.env`` and its ``config.yaml``. Each is read into a
``SettingsSource``: texts by setting, and one line for each thing that is wrong there. Whether a text is a
right value is said in ``forms``. Other programs keep secrets in the same places: nothing but our own settings
is taken out of them, and no other text of theirs reaches a message.
"""

from __future__ import annotations

import difflib
import io
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from dotenv.parser import parse_stream
from pydantic import ValidationError
from pydantic_settings import PydanticBaseSettingsSource

from hermes_retention.model.errors import SettingsError
from hermes_retention.model.session import SessionClass
from hermes_retention.model.text import printable
from hermes_retention.policy.caps import Cap, Caps, CapSettings, Limit
from hermes_retention.policy.lifecycle import Lifecycle, Policy
from hermes_retention.settings.fields import (
    CLASSES,
    DESCRIPTIONS,
    GROUPS,
    PREFIX,
    SECTION,
    CapsOfClass,
    SettingPath,
    Values,
    config_key,
    variable,
)

try:  # the parser in C takes a tenth of the time, where PyYAML was built with it
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_LONGEST_SHOWN = 60
"""Characters of a wrong value that a message repeats."""
DEFAULT = "default"
ENVIRONMENT = "environment"
"""Where a setting comes from; of files it is their path."""
_VARIABLES = {variable(path): path for path in DESCRIPTIONS}
_KINDS = {1: "class of sessions", 2: "group of settings"}
"""What a mapping at this depth is."""
_HOST_KEYS = frozenset({("allow_tool_override",), ("llm",)})
"""What the host itself keeps in a plugin's entry."""
_QUOTE = re.compile("['\"]")
"""Behind it PyYAML repeats what the file says."""
_OURS = re.compile(rf"\s*(?:export\s+)?'?{PREFIX}", re.IGNORECASE)


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


@dataclass(frozen=True, slots=True)
class Given:
    """The text that a source has for a setting, without surrounding blanks, and the setting's name there."""

    name: str
    text: str
    origin: str


class SettingsSource(PydanticBaseSettingsSource):
    """What one of them says, as pydantic-settings asks for it."""

    def __init__(self, given: Mapping[SettingPath, Given], problems: list[str]) -> None:
        super().__init__(Values)
        self.given = given
        self.problems = problems

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The text of a setting, the texts of a class, or ``None``."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The texts of everything that is given, nested as ``Values`` is."""
        texts: dict[str, Any] = {}
        for (*groups, name), given in self.given.items():
            inner = texts
            for group in groups:
                inner = inner.setdefault(group, {})
            inner[name] = given.text
        return texts


def host_defaults(texts: Mapping[SettingPath, str]) -> SettingsSource:
    """What a host's homes have instead of the defaults of ``Values``."""
    return SettingsSource({path: Given(variable(path), text, DEFAULT) for path, text in texts.items()}, [])


def environment(environ: Mapping[str, str]) -> SettingsSource:
    """The variables with our prefix; an empty one counts as not set."""
    return _variables(environ, ENVIRONMENT)


def dotenv(path: Path) -> SettingsSource:
    """The same variables in a ``.env`` file, in its usual syntax; ``${…}`` in a value has no meaning."""
    origin = str(path)
    try:
        # Lines of other programs need not be UTF-8.
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except FileNotFoundError:
        return SettingsSource({}, [])
    except OSError as error:
        return SettingsSource({}, [_unreadable(origin, error)])
    texts: dict[str, str | None] = {}
    problems = []
    for binding in parse_stream(io.StringIO(text)):
        source = binding.original.string
        if binding.error and _OURS.match(source):
            line = binding.original.line + source[: -len(source.lstrip())].count("\n")
            problems.append(f"{origin}: line {line} is not understood; write NAME=value")
        elif binding.key is not None:
            texts[binding.key] = binding.value
    variables = _variables(texts, origin)
    return SettingsSource(variables.given, problems + variables.problems)


def _variables(texts: Mapping[str, str | None], origin: str) -> SettingsSource:
    given = {}
    problems = []
    for name, text in texts.items():
        if not name.upper().startswith(PREFIX):
            continue
        path = _VARIABLES.get(name)
        if path is None:
            problems.append(_unknown(name, name.upper().removeprefix(PREFIX), origin, variable))
        elif text is not None and text.strip():
            given[path] = Given(name, text.strip(), origin)
    return SettingsSource(given, sorted(problems))


def config(path: Path) -> SettingsSource:
    """Our entry of the plugins in a ``config.yaml``: the same names in lower case, classes as mappings."""
    origin = str(path)
    try:
        section = _section(_read_yaml(path))
    except FileNotFoundError:
        return SettingsSource({}, [])
    except OSError as error:
        return SettingsSource({}, [_unreadable(origin, error)])
    except _Damaged as error:
        return SettingsSource({}, [f"{origin}: {error}"])
    given = {}
    problems = []
    for name, value in _flat(section):
        key = config_key(name)
        if isinstance(value, dict) and len(name) in _KINDS and name not in DESCRIPTIONS:
            problems.append(_unknown_group(key, name, origin))
        elif name not in DESCRIPTIONS:
            problems.append(_unknown(key, "__".join(name), origin, config_key))
        elif isinstance(value, dict | list):
            problems.append(f"{key} ({origin}): one value is expected, not a list or a mapping")
        elif not _is_empty(value):
            given[name] = Given(key, str(value).strip(), origin)
    return SettingsSource(given, problems)


class _Damaged(Exception):
    """A file is not what it should be. The message holds nothing of what it contains."""


class _TextLoader(SafeLoader):
    """A safe loader that leaves scalars as they are written: ``off`` is no boolean, ``012`` not octal."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the stubs say that PyYAML keeps it per instance
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
        for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
    }


def _read_yaml(path: Path) -> object:
    with path.open("rb") as file:
        try:
            content: object = yaml.load(file, _TextLoader)  # noqa: S506 - it is a SafeLoader
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
            problem = _QUOTE.split(error.problem or "")[0].strip()
            raise _Damaged(f"not valid YAML: {where}{problem}") from None
        except (yaml.YAMLError, RecursionError):
            raise _Damaged("not valid YAML: no text, or nested too deeply") from None
        except (ValueError, LookupError, AttributeError, TypeError):
            # What the loader makes of a wrong value behind an explicit tag, such as `!!int x`.
            raise _Damaged("not valid YAML: a value does not fit its tag") from None
    return content


def _section(content: object) -> Mapping[object, object]:
    plugins = _mapping(content, "the file").get("plugins")
    entries = _mapping(plugins, "plugins").get("entries")
    mapping = _mapping(entries, "plugins.entries")
    for key in mapping:
        if key != SECTION and str(key).lower().replace("_", "-") == SECTION:
            raise _Damaged(f"plugins.entries has {key}; write {SECTION}")
    return _mapping(mapping.get(SECTION), config_key(()))


def _mapping(content: object, name: str) -> Mapping[object, object]:
    if _is_empty(content):
        return {}
    if not isinstance(content, dict):
        raise _Damaged(f"{name} is not a mapping")
    return content


def _flat(section: Mapping[object, object], above: SettingPath = ()) -> Iterator[tuple[SettingPath, object]]:
    for key, value in section.items():
        path = (*above, str(key))
        if path in GROUPS and isinstance(value, dict):
            yield from _flat(value, path)
        elif path not in _HOST_KEYS and not (path in GROUPS and _is_empty(value)):
            yield path, value


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _unreadable(origin: str, error: OSError) -> str:
    return f"{origin}: cannot be read ({error.strerror or type(error).__name__})"


def _unknown(name: str, wanted: str, origin: str, spell: Callable[[SettingPath], str]) -> str:
    """The line about a name that does not exist. ``wanted`` is its part behind prefix or section."""
    group = tuple(wanted.lower().split("__"))
    if group in GROUPS:
        example = spell(next(path for path in DESCRIPTIONS if path[: len(group)] == group))
        kind = _KINDS[len(group)]
        return f"{name} ({origin}): a {kind}, not a setting; a setting is {example}"
    nearest = _nearest(wanted, DESCRIPTIONS)
    return f"{name} ({origin}): no such setting; the nearest is {spell(nearest)}"


def _unknown_group(key: str, path: SettingPath, origin: str) -> str:
    """The line about a mapping where none is expected, or not under this name."""
    groups = [group for group in GROUPS if len(group) == len(path)]
    nearest = _nearest("__".join(path), groups if len(path) == 1 else (*groups, *DESCRIPTIONS))
    kind = _KINDS[len(path)] if nearest in GROUPS else "setting"
    return f"{key} ({origin}): no such {kind}; the nearest is {config_key(nearest)}"


def _nearest(wanted: str, paths: Iterable[SettingPath]) -> SettingPath:
    spellings = {"__".join(path).upper(): path for path in paths}
    wanted = wanted.upper().replace("-", "_")
    return spellings[difflib.get_close_matches(wanted, spellings, n=1, cutoff=0)[0]]
