"""What ids say by their form, and how the host writes them into file names."""

from __future__ import annotations

import hashlib
import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hermes_retention.model.session import SessionClass
from hermes_retention.model.text import is_kept_as_is, safe_name
from hermes_retention.stores.hermes.files import class_by_shape, cron_job, has_stamp

ANY_ID = st.text(st.characters(), max_size=120)
LIKELY_ID = st.text(string.ascii_letters + string.digits + "_-./: é\n", max_size=110)


def safe_name_of_the_host(session_id: str) -> str:
    """What the host's ``_safe_session_filename_component`` answers, told step by step."""
    raw = str(session_id or "").strip()
    sanitized = re.sub(r"[^\w-]", "_", raw).strip("._")
    sanitized = sanitized[:96] or "session"
    if raw and sanitized == raw:
        return sanitized
    digest = hashlib.sha256(raw.encode("utf-8", errors="surrogatepass")).hexdigest()[:12]
    return f"{sanitized}_{digest}"


@given(ANY_ID | LIKELY_ID)
@example("")
@example("  ")
@example("_a")
@example("a_")
@example("a.b")
@example("../../etc/passwd")
@example("x" * 96)
@example("x" * 97)
@example("line\n")
@example("lone \ud800")
def test_safe_name_is_the_hosts(session_id: str) -> None:
    assert safe_name(session_id) == safe_name_of_the_host(session_id)


@given(ANY_ID | LIKELY_ID)
def test_ids_kept_as_they_are_have_themselves_as_safe_name(session_id: str) -> None:
    if is_kept_as_is(session_id):
        assert safe_name(session_id) == session_id


@given(ANY_ID | LIKELY_ID)
def test_safe_name_is_a_plain_file_name(session_id: str) -> None:
    safe = safe_name(session_id)
    assert safe
    assert not set(safe) & set("/\0.\n")


@pytest.mark.parametrize(
    ("session_id", "job"),
    [
        ("cron_a1b2c3d4e5f6_20261120_101500", "a1b2c3d4e5f6"),
        ("cron_my_daily_job_20261120_101500", "my_daily_job"),
        ("cron_20261119_000000_20261120_101500", "20261119_000000"),
        ("cron_two\nlines_20261120_101500", "two\nlines"),
        ("cron__20261120_101500", None),
        ("cron_20261120_101500", None),
        ("cron_job_20261120_10150", None),
        ("cron_job_20261120-101500", None),
        ("cron_job_20261120_101500 ", None),
        ("cron_job_20261120_1015\u0660\u0660", None),
        ("20261120_101500_0a1b2c3d", None),
        ("", None),
    ],
)
def test_cron_job_is_what_stands_before_the_stamp(session_id: str, job: str | None) -> None:
    assert cron_job(session_id) == job


@given(st.text(st.characters(), max_size=20))
def test_anything_before_a_stamp_is_left_alone(text: str) -> None:
    assert has_stamp(f"{text}_20261120_101500")
    assert not has_stamp(f"{text}_20261120_101500\n")


@pytest.mark.parametrize("text", ["", "_", "20261120_101500", "_2026112_101500"])
def test_short_texts_have_no_stamp(text: str) -> None:
    assert not has_stamp(text)


@pytest.mark.parametrize(
    ("session_id", "kind"),
    [
        ("cron_job_20261120_101500", SessionClass.CRON),
        ("api-0123456789abcdef", SessionClass.API),
        ("api_1795000000_0a1b2c3d", SessionClass.API),
        ("run_0123456789abcdef0123456789abcdef", SessionClass.API),
        ("20261120_101500_0a1b2c3d", SessionClass.CHAT),
        ("20261120_101500_0a1b2c", SessionClass.CLI),
        ("0e37df36-f698-11e6-8dd4-cb9ced3df976", SessionClass.OTHER),
        ("20261120_101500_0a1b2c3", None),
        ("20261120_101500_0a1b2c3d\n", None),
        ("api-0123456789ABCDEF", None),
        ("notes", None),
    ],
)
def test_shape_speaks_for_a_class(session_id: str, kind: SessionClass | None) -> None:
    assert class_by_shape(session_id) is kind
