"""The vault on real partitions: what it keeps, shares, removes, and says of damage."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from pytest_mock import MockerFixture
from vaults import MONTH, PARTITION, artifact_of, content_of, damage_table, entry_of, fill

from hermes_retention.archive.codec import Codec
from hermes_retention.archive.entries import pack, pack_large, partition_name
from hermes_retention.archive.partition import Partition
from hermes_retention.archive.vault import PartitionWriter, Vault
from hermes_retention.model.errors import FrameCorrupt, VaultDamaged

SYSTEM = "\n".join(f"rule {i}: be helpful in the {i}th way, and say so" for i in range(400)).encode()


def conversation(seed: int, lines: int = 40) -> bytes:
    generator = random.Random(seed)
    own = "\n".join(f"line {n} says {generator.getrandbits(200):x}" for n in range(lines))
    return SYSTEM + b"\n" + own.encode()


CONTENTS = {f"s{i}": conversation(i) for i in range(8)}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return fill(tmp_path / "archive", CONTENTS)


def test_everything_comes_back_byte_for_byte(vault: Vault) -> None:
    assert {session_id: content_of(vault, session_id) for session_id in CONTENTS} == {
        session_id: [content] for session_id, content in CONTENTS.items()
    }


def test_metadata_name_time_and_mode_are_kept(vault: Vault) -> None:
    (artifact,) = vault.artifacts(session_id="s3")
    assert (artifact.name, artifact.mtime_ns, artifact.mode) == (
        "session_s3.json",
        1_790_000_000_123_456_789,
        0o640,
    )
    assert (artifact.sweep, artifact.archived_at, artifact.partition) == ("s1", 1.8e9, MONTH)


def test_partition_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        fill(tmp_path / "archive", CONTENTS)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "archive" / PARTITION).stat().st_mode) == 0o600


def test_no_journal_stays_behind(vault: Vault) -> None:
    assert [path.name for path in vault.root.iterdir()] == [PARTITION]


def test_shared_text_is_stored_once(vault: Vault) -> None:
    stored = sum(
        partition.stored_bytes(artifact)
        for partition in vault.partitions()
        for artifact in partition.artifacts()
    )
    assert stored * 4 < sum(map(len, CONTENTS.values()))


def test_same_file_archived_again_is_not_stored_twice(vault: Vault) -> None:
    fill(vault.root, {"s1": CONTENTS["s1"]}, sweep="s2", archived_at=1.9e9)
    (artifact,) = vault.artifacts(session_id="s1")
    assert (artifact.sweep, artifact.archived_at) == ("s2", 1.9e9)


def test_archiving_again_mends_a_damaged_copy(vault: Vault) -> None:
    with closing(sqlite3.connect(vault.root / PARTITION)) as connection, connection:
        connection.execute(
            "UPDATE frames SET frame = x'00' WHERE artifact_id = "
            "(SELECT a.id FROM artifacts a JOIN sessions s ON s.number = a.session WHERE s.id = 's1')"
        )
    with pytest.raises(FrameCorrupt):
        content_of(vault, "s1")
    fill(vault.root, {"s1": CONTENTS["s1"]})
    assert content_of(vault, "s1") == [CONTENTS["s1"]]


def test_changed_file_becomes_a_second_version(vault: Vault) -> None:
    fill(vault.root, {"s1": conversation(99)}, sweep="s2", archived_at=1.9e9)
    assert content_of(vault, "s1") == [CONTENTS["s1"], conversation(99)]


def test_empty_file_is_kept_as_an_empty_file(tmp_path: Path) -> None:
    vault = fill(tmp_path / "archive", {"empty": b""})
    assert content_of(vault, "empty") == [b""]
    assert [damages for _, damages in vault.verify()] == [[]]


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"session_\xff\xfe\n.json")
    with PartitionWriter(Vault(tmp_path), MONTH) as writer:
        packing = writer.choose_packing([], 0)
        writer.write(
            [entry_of("odd")],
            [pack("odd", artifact_of(name, b"x"), [b"x"], packing)],
            sweep="s",
            archived_at=1.0,
        )
    (artifact,) = Vault(tmp_path).artifacts()
    assert artifact.name == name


def test_known_metadata_is_not_lost_to_a_later_scan_without_a_record(tmp_path: Path) -> None:
    with PartitionWriter(Vault(tmp_path), MONTH) as writer:
        writer.write([entry_of("a", title="Tax return", started_at=5.0)], [], sweep="s", archived_at=1.0)
        writer.write([entry_of("a")], [], sweep="s", archived_at=2.0)
    (entry,) = [entry for partition in Vault(tmp_path).partitions() for entry in partition.sessions()]
    assert (entry.metadata.title, entry.metadata.started_at) == ("Tax return", 5.0)


def test_failed_batch_leaves_nothing(vault: Vault) -> None:
    with PartitionWriter(vault, MONTH) as writer:
        packing = writer.choose_packing([], 0)
        good = pack("new", artifact_of("a", b"a"), [b"a"], packing)

        def broken() -> object:
            yield b"some"
            raise OSError(28, "No space left on device")

        bad = pack_large("new", artifact_of("b", b"some"), [b"some"], broken(), packing)  # type: ignore[arg-type]  # a generator that fails
        with pytest.raises(OSError, match="No space"):
            writer.write([entry_of("new")], [good, bad], sweep="s9", archived_at=1.0)
    assert vault.artifacts(session_id="new") == []
    assert [damages for _, damages in vault.verify()] == [[]]


def test_read_back_notices_a_copy_that_differs(vault: Vault) -> None:
    with PartitionWriter(vault, MONTH) as writer:
        packing = writer.choose_packing([], 0)
        packed = [
            pack("a", artifact_of("a", b"abc"), [b"abc"], packing),
            pack("b", artifact_of("b", b"xyz"), [b"xyz"], packing),
        ]
        ids = writer.write([entry_of("a"), entry_of("b")], packed, sweep="s", archived_at=1.0)
        with closing(sqlite3.connect(vault.root / PARTITION)) as other, other:
            other.execute("UPDATE artifacts SET sha256 = zeroblob(32) WHERE id = ?", (ids[0],))
        first, second = (check() for check in writer.read_back(packed, ids))
    assert isinstance(first, FrameCorrupt)
    assert second is None


def test_read_back_notices_a_missing_copy(vault: Vault) -> None:
    with PartitionWriter(vault, MONTH) as writer:
        packed = [pack("a", artifact_of("a", b"abc"), [b"abc"], writer.choose_packing([], 0))]
        (answer,) = writer.read_back(packed, [4711])
    assert isinstance(answer(), FrameCorrupt)


def test_verify_names_the_damaged_session_and_reads_the_others(vault: Vault) -> None:
    with closing(sqlite3.connect(vault.root / PARTITION)) as connection, connection:
        connection.execute("UPDATE frames SET frame = zeroblob(length(frame)) WHERE artifact_id = 2")
    ((_, damages),) = vault.verify()
    assert len(damages) == 1
    assert "session s1" in damages[0].what
    assert content_of(vault, "s2") == [CONTENTS["s2"]]


def test_verify_reports_a_partition_that_is_no_database(vault: Vault) -> None:
    (vault.root / "2020-01.db").write_bytes(b"not a database at all" * 300)
    answers = dict(vault.verify())
    assert answers[MONTH] == []
    assert len(answers["2020-01"]) == 1


def test_newer_format_is_refused_and_not_touched(vault: Vault) -> None:
    path = vault.root / PARTITION
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
    before = path.read_bytes()
    with pytest.raises(VaultDamaged, match="Install a newer hermes-retention"):
        Partition.open(path)
    with pytest.raises(VaultDamaged):
        PartitionWriter(vault, MONTH)
    assert path.read_bytes() == before


def test_linked_partition_is_not_followed(vault: Vault, tmp_path: Path) -> None:
    (vault.root / "2020-01.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(VaultDamaged, match="symbolic link"):
        Partition.open(vault.root / "2020-01.db")


def test_partition_that_sqlite_cannot_open_is_told_in_words(vault: Vault, mocker: MockerFixture) -> None:
    refusal = sqlite3.OperationalError("unable to open database file")
    mocker.patch("hermes_retention.disk.effects.connect", side_effect=refusal)
    with pytest.raises(VaultDamaged, match="it cannot be opened"):
        Partition.open(vault.root / PARTITION)


def test_removed_session_leaves_no_trace_in_the_file(vault: Vault) -> None:
    secret = b"the-password-is-swordfish-and-nobody-else-says-so"
    fill(vault.root, {"confidential": SYSTEM + b"\n" + secret * 3})
    vault.remove_sessions(["confidential"])
    assert vault.artifacts(session_id="confidential") == []
    for session_id, content in CONTENTS.items():
        assert content_of(vault, session_id) == [content]
    assert [damages for _, damages in vault.verify()] == [[]]


def test_dictionary_built_from_a_removed_session_goes_too(tmp_path: Path) -> None:
    secret = b"confidential line that only this session ever had in it"
    contents = {"confidential": secret + b"\n" + SYSTEM, **CONTENTS}
    vault = fill(tmp_path / "archive", contents)
    with Partition.open(vault.root / PARTITION) as partition:
        ((content, _),) = partition.newest_dictionaries(2)
    assert secret in content  # otherwise this test shows nothing
    vault.remove_sessions(["confidential"])
    with Partition.open(vault.root / PARTITION) as partition:
        ((content, sources),) = partition.newest_dictionaries(2)
    assert secret not in content
    assert "confidential" not in sources
    for session_id, content in CONTENTS.items():
        assert content_of(vault, session_id) == [content]


def test_copies_that_would_not_read_back_with_the_new_dictionary_stay_as_they_are(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    vault = fill(tmp_path / "archive", {"leaving": SYSTEM + b"\nleaving", **CONTENTS})
    compress = Codec.compress
    mocker.patch.object(Codec, "compress", lambda self, plain: compress(self, plain[::-1]))
    with pytest.raises(FrameCorrupt):
        vault.remove_sessions(["leaving"])
    mocker.stopall()
    for session_id, content in {"leaving": SYSTEM + b"\nleaving", **CONTENTS}.items():
        assert content_of(vault, session_id) == [content]


def test_emptied_partition_is_unlinked(vault: Vault) -> None:
    vault.remove_sessions(list(CONTENTS))
    assert vault.partition_paths() == []


def test_removal_shrinks_the_file(tmp_path: Path) -> None:
    noise = {f"n{i}": os.urandom(100_000) for i in range(10)}
    vault = fill(tmp_path / "archive", {"small": b"stays", **noise})
    before = vault.allocated_bytes()
    vault.remove_sessions(list(noise))
    assert vault.allocated_bytes() < before / 3
    assert content_of(vault, "small") == [b"stays"]


def test_new_partition_inherits_the_dictionary_of_the_month_before(vault: Vault) -> None:
    fill(vault.root, {"later": conversation(50)}, month="2026-12")
    with Partition.open(vault.root / "2026-12.db") as partition:
        ((inherited, _),) = partition.newest_dictionaries(2)
    with Partition.open(vault.root / PARTITION) as partition:
        ((original, _),) = partition.newest_dictionaries(2)
    assert inherited == original


def test_each_kind_of_content_keeps_its_dictionary(vault: Vault) -> None:
    """Files and rows take turns in a partition: neither drives the other's dictionary out."""
    rows = "\n".join(f"a row with a prompt that all rows of this home have, part {i}" for i in range(900))
    for number in range(3):
        fill(vault.root, {f"r{number}-{i}": b"%s\n%d" % (rows.encode(), i) for i in range(10)})
        fill(vault.root, {f"f{number}-{i}": conversation(1000 * number + i) for i in range(10)})
    with Partition.open(vault.root / PARTITION) as partition:
        assert len(partition.newest_dictionaries(9)) == 2


def test_dictionary_is_replaced_when_the_shared_text_changes(vault: Vault) -> None:
    other = "\n".join(f"quite another rule {i} of a new version of the host" for i in range(900)).encode()
    fill(vault.root, {f"new{i}": other + b"\n%d" % i for i in range(10)})
    with Partition.open(vault.root / PARTITION) as partition:
        (newest, _), *_ = partition.newest_dictionaries(2)
    assert b"quite another rule" in newest


def test_archived_sessions_tell_age_and_size(vault: Vault) -> None:
    fill(vault.root, {"s1": conversation(99)}, archived_at=1.9e9)
    ages = {session.id: session.archived_at for session in vault.archived_sessions([])}
    assert ages["s1"] == 1.9e9
    assert ages["s2"] == 1.8e9
    assert all(session.stored_bytes > 0 for session in vault.archived_sessions([]))


def test_summary_counts_what_is_there(vault: Vault) -> None:
    summary = vault.summary()
    assert (summary.sessions, summary.artifacts, summary.partitions) == (8, 8, 1)
    assert summary.original_bytes == sum(map(len, CONTENTS.values()))
    assert summary.stored_bytes == vault.allocated_bytes() > 0
    assert sum(one.sessions for one in summary.classes) == 8
    assert sum(one.original_bytes for one in summary.classes) == summary.original_bytes
    assert summary.ratio == summary.original_bytes / summary.stored_bytes


def test_summary_counts_a_session_of_two_months_once(vault: Vault) -> None:
    (vault.root / "2026-12.db").write_bytes((vault.root / PARTITION).read_bytes())
    summary = vault.summary()
    assert (summary.sessions, summary.artifacts, summary.partitions) == (8, 16, 2)
    assert sum(one.sessions for one in summary.classes) == 8


def test_new_partition_appears_whole_or_not_at_all(tmp_path: Path, mocker: MockerFixture) -> None:
    vault = Vault(tmp_path)
    mocker.patch("hermes_retention.disk.effects.rename", side_effect=RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        PartitionWriter(vault, MONTH)
    assert vault.partition_paths() == []


@pytest.mark.parametrize("left", [None, b""])
def test_new_partition_has_the_form_that_its_format_names(tmp_path: Path, left: bytes | None) -> None:
    if left is not None:
        (tmp_path / PARTITION).write_bytes(left)
    with PartitionWriter(Vault(tmp_path), MONTH):
        pass
    with closing(sqlite3.connect(tmp_path / PARTITION)) as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "auto_vacuum", "application_id", "journal_mode")
        }
    assert pragmas == {
        "page_size": 16384, "auto_vacuum": 2, "application_id": 0x48527631, "journal_mode": "delete"
    }  # fmt: skip


def test_damaged_month_does_not_keep_a_new_one_from_being_made(vault: Vault) -> None:
    damage_table(vault.root / PARTITION, "dictionaries")
    with PartitionWriter(vault, "2026-12") as writer:
        assert writer.choose_packing(list(CONTENTS.items()), 10**6).dictionary_id is not None


def test_month_that_cannot_be_opened_does_not_end_the_check_of_the_others(
    vault: Vault, mocker: MockerFixture
) -> None:
    fill(vault.root, CONTENTS, month="2026-12")
    connect = sqlite3.connect

    def refuse(path: Path, **options: object) -> sqlite3.Connection:
        if path.name == PARTITION:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(path, **options)  # type: ignore[call-overload, no-any-return]  # as it was called

    mocker.patch("hermes_retention.disk.effects.connect", refuse)
    assert {name: len(damages) for name, damages in vault.verify()} == {MONTH: 1, "2026-12": 0}


def test_missing_vault_is_an_empty_one(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "none")
    assert vault.partition_paths() == []
    assert vault.allocated_bytes() == 0
    assert vault.artifacts() == []


def test_partition_is_the_month_in_utc() -> None:
    assert partition_name(1_796_083_199.0) == "2026-11"
    assert partition_name(1_796_083_200.0) == "2026-12"
