"""The agents of a home and the ids of their sessions.

Two agents may have a session of the same id, so an id carries its agent: ``main/3f2c…``.
What must not live here: what lies in an agent's directory.
"""

from __future__ import annotations

import os
from pathlib import Path

from hermes_retention.disk.directories import Directory
from hermes_retention.model.errors import StoreUnreadable
from hermes_retention.model.text import is_text, printable, words
from hermes_retention.stores.base import Folder

AGENTS = "agents"
SESSIONS = "sessions"


def folder_of(agent: str) -> Folder:
    """Where the sessions of an agent lie."""
    return Folder((AGENTS, agent, SESSIONS), (agent,))


def joined(agent: str, session_id: str) -> str:
    """The id that is unique in the home."""
    return f"{agent}/{session_id}"


def parted(session_id: str) -> tuple[str, str]:
    """Agent and the id that the host knows."""
    agent, _, own = session_id.partition("/")
    return agent, own


def find_agents(home: Path) -> tuple[list[str], list[str]]:
    """The agents that have a directory of sessions, by name, and a line for each that is left alone.

    Raises ``StoreUnreadable`` when the directories cannot be listed.
    """
    found: list[str] = []
    left: list[str] = []
    try:
        with Directory.open(home, AGENTS) as above:
            names = sorted(os.listdir(above.descriptor))
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise _unreadable(home / AGENTS, error) from error
    for name in names:
        path = home / AGENTS / name / SESSIONS
        if not os.path.lexists(path):
            continue
        try:
            Directory.open(home, *folder_of(name).below).close()
        except StoreUnreadable as error:
            left.append(f"{error.what}: {error.why}; its sessions were left alone")
        except OSError as error:
            raise _unreadable(path, error) from error
        else:
            if is_text(name):
                found.append(name)
            else:
                left.append(
                    f"{printable(str(path))}: its name is no valid text; its sessions were left alone"
                )
    return found, left


def _unreadable(path: Path, error: OSError) -> StoreUnreadable:
    return StoreUnreadable(
        printable(str(path)),
        f"the directory cannot be read ({words(error)})",
        consequence="nothing was removed",
        cure="Run hermes-retention as the user that the host runs as.",
    )
