"""What every command needs: the home, its store and settings, where to write, and whom to ask.

What must not live here: what a command does with them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hermes_retention.cli.output.page import Page, Style, open_page
from hermes_retention.model.errors import UsageError
from hermes_retention.model.text import printable

if TYPE_CHECKING:
    from hermes_retention.home.home import Home
    from hermes_retention.home.open import HomeLoader
    from hermes_retention.model.errors import RetentionError
    from hermes_retention.settings.load import Settings
    from hermes_retention.stores.base import RouteIndex, Store


@dataclass(frozen=True, eq=False)
class Context:
    """One run of the program."""

    home_argument: str | None
    store_argument: str
    verbose: bool
    json: bool
    environ: Mapping[str, str]
    clock: Callable[[], float]
    """Gives Unix seconds."""
    command: str

    @classmethod
    def of(cls, namespace: argparse.Namespace, clock: Callable[[], float]) -> Context:
        """The run that ``namespace`` asks for, in the environment of this process."""
        return cls(
            command=namespace.retention_command,
            clock=clock,
            home_argument=namespace.retention_home,
            store_argument=namespace.retention_store or "auto",
            verbose=bool(namespace.retention_verbose),
            json=getattr(namespace, "json", False),
            environ=os.environ,
        )

    @cached_property
    def page(self) -> Page:
        """Standard output, for people."""
        return open_page(sys.stdout, self.environ)

    @cached_property
    def notes(self) -> Page:
        """Standard error: warnings, and what must not disturb an output that a program reads."""
        return open_page(sys.stderr, self.environ)

    @cached_property
    def loader(self) -> HomeLoader:
        """Whatever can be known of the home, part by part. Raises ``UsageError`` without such a directory."""
        from hermes_retention.home.find import find_home
        from hermes_retention.home.open import HomeLoader

        directory = find_home(self.home_argument, self.store_argument, self.environ)
        return HomeLoader(directory, store=self.store_argument, environ=self.environ)

    @property
    def settings(self) -> Settings:
        """The settings of the home. Raises ``SettingsError``, ``UsageError`` for an unknown ``--store``."""
        return self.loader.settings

    @property
    def store(self) -> Store:
        """The store of the home. Raises ``StoreUnreadable`` when nobody serves its layout."""
        return self.loader.store

    @property
    def home(self) -> Home:
        """The home with everything that a use case needs."""
        return self.loader.home

    @property
    def index(self) -> RouteIndex | None:
        """Where dead routes can leave while no gateway runs; ``None`` when the store has no such thing."""
        return self.store.offline_routes(self.clock)

    @property
    def is_interactive(self) -> bool:
        """Whether a person sits in front of this and can be asked."""
        return not self.json and _is_terminal(sys.stdin) and _is_terminal(sys.stdout)

    def ask(self, question: str) -> bool:
        """Whether the person says yes. Only when ``is_interactive``."""
        sys.stdout.write(f"{printable(question)} [y/N] ")
        sys.stdout.flush()
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):
            # The end of input instead of an answer leaves the cursor behind the question.
            sys.stdout.write("\n")
        return answer.strip().lower() in ("y", "yes")

    def require_yes(self, *, yes: bool, question: str, cure: str) -> bool:
        """Whether to go on: ``yes`` was given, or a person says so.

        Raises ``UsageError`` when nobody can be asked.
        """
        if yes:
            return True
        if not self.is_interactive:
            raise UsageError(
                self.command,
                "it asks before it changes anything, and there is no terminal to ask on",
                consequence="nothing was changed",
                cure=cure,
            )
        if self.ask(question):
            return True
        self.page.line("Nothing was changed.", Style.WARNING)
        return False

    def warn(self, warnings: list[str] | tuple[str, ...]) -> None:
        """Show ``warnings`` on standard error, one line each."""
        sys.stdout.flush()
        for warning in warnings:
            self.notes.line(f"warning: {warning}", Style.WARNING)


def _is_terminal(stream: object) -> bool:
    """Also for a stream that was closed or never there, as in a daemon."""
    try:
        return stream.isatty()  # type: ignore[attr-defined, no-any-return] # None and closed streams end below
    except (AttributeError, ValueError):
        return False


# -- JSON for other programs ----------------------------------------------------------------------------

FORMAT = 1
"""Version of every object that is printed; it grows when a field changes its meaning or goes."""


def print_object(content: dict[str, Any]) -> None:
    """Print ``content``, indented, with ``format`` as its first field. Its texts are made printable."""
    import json

    sys.stdout.write(json.dumps({"format": FORMAT, **_printable(content)}, indent=2) + "\n")


def _printable(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
    match value:
        case str():
            return printable(value)
        case dict():
            return {_printable(key): _printable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_printable(inner) for inner in value]
        case _:
            return value


def error_object(error: RetentionError) -> dict[str, Any]:
    """An error as data: what ``docs/reference/sweep-json.md`` describes."""
    return {
        "error": {
            "kind": type(error).__name__,
            "what": error.what,
            "why": error.why,
            "consequence": error.consequence,
            "cure": error.cure,
            "exit_code": int(error.exit_code),
        }
    }
