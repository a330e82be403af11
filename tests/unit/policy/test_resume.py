"""Which interrupted sessions are gone on with."""

from __future__ import annotations

from hermes_retention.policy.resume import ResumeCandidate, ResumePlan, plan_resume

NOW = 1_000_000.0
HOUR = 3600.0


def candidate(name: str, *, age: float = 60.0, **facts: bool) -> ResumeCandidate:
    return ResumeCandidate(name, f"key:{name}", NOW - age, **facts)


def plan(*candidates: ResumeCandidate, max_age: float | None = HOUR, most: int = 3) -> ResumePlan:
    return plan_resume(candidates, now=NOW, max_age=max_age, most=most)


def resumed(result: ResumePlan) -> list[str]:
    return [one.session_id for one in result.resume]


def why(result: ResumePlan) -> dict[str, str]:
    return {left.candidate.session_id: left.reason for left in result.left}


def test_newest_come_first_and_no_more_than_asked_for() -> None:
    result = plan(*(candidate(name, age=age) for name, age in (("c", 30), ("a", 10), ("d", 40), ("b", 20))))
    assert resumed(result) == ["a", "b", "c"]
    assert why(result) == {"d": "3 newer ones are gone on with"}


def test_what_is_older_than_the_limit_is_left() -> None:
    result = plan(candidate("young", age=HOUR), candidate("old", age=HOUR + 1))
    assert resumed(result) == ["young"]
    assert why(result) == {"old": "it is older than 3600 s"}


def test_without_a_limit_age_does_not_matter() -> None:
    assert resumed(plan(candidate("old", age=200 * HOUR), max_age=None)) == ["old"]


def test_what_failed_or_cannot_be_read_is_left_and_takes_no_place() -> None:
    result = plan(
        candidate("failed", age=1, ended_in_error=True),
        candidate("broken", age=2, readable=False),
        candidate("good", age=3),
        most=1,
    )
    assert resumed(result) == ["good"]
    assert why(result) == {"failed": "it ended in an error", "broken": "its transcript cannot be read"}


def test_unknown_age_is_left() -> None:
    assert why(plan(candidate("timeless", age=NOW))) == {"timeless": "nobody knows how old it is"}


def test_time_in_the_future_counts_as_now() -> None:
    assert resumed(plan(candidate("ahead", age=-HOUR))) == ["ahead"]


def test_session_named_twice_counts_once_with_its_newest_time() -> None:
    result = plan(candidate("a", age=2 * HOUR), candidate("a", age=1), candidate("b", age=2), most=2)
    assert resumed(result) == ["a", "b"]
    assert why(result) == {}


def test_order_of_the_candidates_does_not_matter() -> None:
    several = [candidate(name, age=10) for name in ("a", "b", "c", "d")]
    assert plan(*several) == plan(*reversed(several))
    assert resumed(plan(*several)) == ["d", "c", "b"]


def test_none_are_wanted() -> None:
    assert resumed(plan(candidate("a"), most=0)) == []


def test_plan_says_how_to_go_on() -> None:
    result = plan(candidate("a"))
    assert (result.max_concurrent, result.timeout_seconds, result.lane) == (2, 60.0, "background")
