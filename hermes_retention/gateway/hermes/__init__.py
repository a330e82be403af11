"""The plugin for Hermes Agent: what its entry point group ``hermes_agent.plugins`` leads to.

``register`` hangs hooks, a sub-command and a slash command onto the host. It runs in every process of the
host, in some more than once, and before a process knows what it will be. So it imports nothing that costs
time and decides nothing; a thread of its own does the rest. What must not live here: what any of it does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hermes_retention.gateway.hermes.callbacks import MIDDLEWARE, Callbacks, Inbox, StopMiddleware
from hermes_retention.gateway.hermes.events import HookThread, HookTranslator
from hermes_retention.gateway.hermes.tool import register_tool
from hermes_retention.home.find import host_home

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

COMMAND = "retention"
SUMMARY = "Keep session storage bounded: sweep, look, undo"
CHAT_HINT = "status | preview | sweep | find TEXT"


class _Process:
    """What this process has of us, whatever number of times it registers."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.thread = HookThread(self.inbox, _open_translator)
        self._callbacks: Callbacks | None = None

    def new_callbacks(self) -> Callbacks:
        """Callbacks to register. Those of an earlier registration fall silent."""
        if self._callbacks is not None:
            self._callbacks.close()
        self._callbacks = Callbacks(self.inbox, self.thread.caps)
        return self._callbacks


def register(ctx: Any) -> None:  # noqa: ANN401 - the host's ``PluginContext``, of any version since 0.13
    """Take part in this process of the host. A second call replaces what the first one registered."""
    for hook, callback in _process.new_callbacks().by_hook().items():
        ctx.register_hook(hook, callback)
    if hasattr(ctx, "register_middleware"):  # hosts since 0.17
        ctx.register_middleware(MIDDLEWARE, StopMiddleware(_process.thread.caps).answer_instead)
    ctx.register_cli_command(COMMAND, SUMMARY, _add_commands, _run_command)
    ctx.register_command(COMMAND, _answer, SUMMARY, CHAT_HINT)
    register_tool(ctx, home_of_this_process())
    _process.thread.start()


def home_of_this_process() -> Path:
    """The home that the process was started for, which profiles also set."""
    return host_home(os.environ)


def _open_translator() -> HookTranslator:
    return HookTranslator(home_of_this_process())


def _add_commands(parser: argparse.ArgumentParser) -> None:
    from hermes_retention.cli import add_commands

    add_commands(parser)


def _run_command(namespace: argparse.Namespace) -> None:
    """End the process with our exit code: the host ignores what handlers return."""
    from hermes_retention.cli import run

    raise SystemExit(run(namespace))


async def _answer(arguments: str) -> str:
    """The answer to ``/retention``; found on a thread of its own, for this is the gateway's event loop."""
    from hermes_retention.gateway.hermes.chat import answer_from_thread

    return await answer_from_thread(arguments, home_of_this_process(), _process.thread.gateway_index)


_process = _Process()
