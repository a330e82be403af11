"""What a process that died left half done: files aside, temporary ones, copies of a database.

Whoever changes something in a home calls ``recover`` first, with the lock of the home held. What must not
live here: what sweeps left to do, which the next one finds by itself.
"""

from __future__ import annotations

from hermes_retention import compact, fsops
from hermes_retention.errors import CompactionRefused
from hermes_retention.fsops import Directory
from hermes_retention.site import Site
from hermes_retention.workspace import FOLDER


def recover(site: Site) -> list[str]:
    """Put right what a dead process left half done; a line for each thing that a person must settle."""
    return [*_recover_files(site), *_recover_database(site)]


def _recover_database(site: Site) -> list[str]:
    """A compaction that died leaves copies as large as the database: they must not wait for the next one."""
    try:
        compact.recover(site)
    except CompactionRefused as error:
        return [str(error)]
    return []


def _recover_files(site: Site) -> list[str]:
    try:
        files = Directory.open(site.home, *below_home(site))
    except FileNotFoundError:
        return []
    with files, site.workspace.aside() as aside:
        fsops.sweep_temporaries(files)
        for below in (FOLDER,), (FOLDER, "archive"):
            with Directory.open(site.home, *below) as own:
                fsops.sweep_temporaries(own)
        return fsops.recover(files, aside)


def below_home(site: Site) -> tuple[str, ...]:
    """Where the files of sessions lie, part by part from the home."""
    return site.store.files_directory.relative_to(site.home).parts
