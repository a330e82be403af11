"""Whether a sweep lost anything: every file as it was, against what lies in the store and the vault now.

Takes nobody's word for it: hashes are computed here, from the bytes on disk before and those read back after.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hermes_retention.archive.vault import Vault
from hermes_retention.model.session import ROW_KINDS


class Print(msgspec.Struct, frozen=True, gc=False):
    """A file's fingerprint: all that has to come back."""

    size_bytes: int
    sha256: bytes
    mtime_ns: int
    mode: int


class Comparison(msgspec.Struct, frozen=True):
    """What became of the files that there were; ``lost`` names those that are nowhere as they were."""

    in_place: int
    in_vault: int
    lost: tuple[str, ...]


def prints_of_files(directory: Path) -> dict[str, Print]:
    """The fingerprints of all files directly in ``directory``, by name."""
    return {path.name: _print_of_file(path) for path in sorted(directory.iterdir()) if path.is_file()}


def prints_in_vault(vault: Vault) -> dict[str, Print]:
    """The fingerprints of all archived files, each read back in full. Raises ``VaultDamaged``."""
    found = {}
    with vault.reader() as reader:
        for artifact in vault.artifacts():
            if artifact.kind in ROW_KINDS:
                continue
            digest, size = hashlib.sha256(), 0
            for piece in reader.read(artifact):
                digest.update(piece)
                size += len(piece)
            found[artifact.name] = Print(size, digest.digest(), artifact.mtime_ns, artifact.mode)
    return found


def compare(
    before: Mapping[str, Print], in_store: Mapping[str, Print], in_vault: Mapping[str, Print]
) -> Comparison:
    """Every file of ``before`` must be in the store as it was, or else in the vault as it was."""
    placed = {name for name, was in before.items() if in_store.get(name) == was}
    archived = {name for name, was in before.items() if name not in in_store and in_vault.get(name) == was}
    return Comparison(len(placed), len(archived), tuple(sorted(before.keys() - placed - archived)))


def _print_of_file(path: Path) -> Print:
    status = path.stat()
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
    return Print(status.st_size, digest, status.st_mtime_ns, stat.S_IMODE(status.st_mode))
