"""What a job may be declared with."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest

from rapua_scheduler import CatchUp, Job, JobContext, Overlap, Retry, next_daily
from rapua_scheduler.errors import InvalidJobError
from rapua_scheduler.job import is_async, slug, takes_after


def nothing(ctx: JobContext) -> None:
    """Do nothing at all.

    And say so at length.
    """


def test_key_and_description_come_from_name_and_docstring() -> None:
    job = Job(name="Send: the Daily Digest!", run=nothing, next=next_daily)

    assert (job.key, job.description) == ("send-the-daily-digest", "Do nothing at all.")


def test_policies_may_be_written_as_words() -> None:
    job = Job("J", nothing, next_daily, catch_up="all", overlap="queue_one", retry=3, timeout="1h30m")

    assert job.catch_up == CatchUp.all()
    assert job.overlap is Overlap.QUEUE_ONE
    assert job.retry == Retry(attempts=3)
    assert job.timeout == timedelta(minutes=90)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "  "),
        ("name", 5),
        ("run", "not callable"),
        ("run", lambda: None),
        ("run", lambda ctx: (yield)),
        ("next", "0 0 * * *"),
        ("next", lambda a, b: None),
        ("key", "Upper"),
        ("key", "-leading"),
        ("key", "x" * 81),
        ("key", ""),
        ("catch_up", "some"),
        ("overlap", "never"),
        ("retry", 0),
        ("retry", "many"),
        ("timeout", "soon"),
        ("timeout", timedelta(0)),
        ("isolation", "vm"),
        ("if_unfinished", "ask"),
        ("check", "not callable"),
    ],
)
def test_a_wrong_value_is_refused_and_names_its_field(field: str, value: object) -> None:
    fields: dict[str, object] = {"name": "J", "run": nothing, "next": next_daily, field: value}

    with pytest.raises(InvalidJobError) as caught:
        Job(**fields)  # type: ignore[arg-type]

    assert field.replace("_", "") in str(caught.value).replace("_", "")


def test_a_name_that_gives_no_key_asks_for_one() -> None:
    with pytest.raises(InvalidJobError, match="key"):
        Job("日次", nothing, next_daily)

    assert Job("日次", nothing, next_daily, key="daily").key == "daily"


def test_a_slug_is_short_and_clean() -> None:
    assert slug("  Ünïcode & Co. __x__ ") == "n-code-co-__x"
    assert len(slug("long " * 100)) <= 80


def test_next_functions_are_known_by_how_they_can_be_called() -> None:
    assert takes_after(lambda after: after)
    assert takes_after(next_daily)
    assert takes_after(partial(lambda zone, after: after, None))
    assert not takes_after(lambda: datetime(2999, 1, 1))
    assert takes_after(lambda after=None: after)


def test_asynchronous_functions_are_known() -> None:
    async def run(ctx: JobContext) -> None: ...

    class Callable:
        async def __call__(self, ctx: JobContext) -> None: ...

    assert is_async(run)
    assert is_async(partial(run))
    assert is_async(Callable())
    assert not is_async(nothing)


def test_a_mode_of_catching_up_may_be_a_word_and_must_be_one_there_is() -> None:
    assert CatchUp("all") == CatchUp.all()
    with pytest.raises(InvalidJobError, match='"none", "latest", "all"'):
        CatchUp("nonsense")
