"""Secrets do not reach logs and records, and ordinary text does."""

from __future__ import annotations

import timeit
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rapua_scheduler.redaction import is_secret, redact, redact_fields

PARTS = [
    *("password", "PASSWORD", "token", "tokens", "secret", "api_key", "authorization", "cookie", "Bearer", "Basic"),
    *("=", ":", ": ", "://", "@", "/", " ", "\n", '"', "'", "\\", '\\"', ",", "&", "***", "[", "]", "{", "(", ")"),
    *("12", "abc", "é", "sk_live_", "eyJhbGciOiJI", ".", "-----BEGIN RSA PRIVATE KEY-----", "\0", "\ud800"),
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PARTS), max_size=14).map("".join))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("password=hunter2 rest", "password=*** rest"),
        ("mysql --password hunter2 --user ann", "mysql --password *** --user ann"),
        ("x --db-password hunter2", "x --db-password ***"),
        ("['mysql', '--password', 'hunter2', '-v']", "['mysql', '--password', '***', '-v']"),
        ('["curl", "--api-key", "hunter2"]', '["curl", "--api-key", "***"]'),
        ("mysql --password --user ann", "mysql --password --user ann"),
        ("--passwords-file x", "--passwords-file x"),
        ("the password was wrong", "the password was wrong"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
        ("new_password: 'hunter 2', next", "new_password: '***', next"),
        ('{"token": "hunter2", "count": 1}', '{"token": "***", "count": 1}'),
        ('{"text": "{\\"token\\": \\"hunter2\\"}"}', '{"text": "{\\"token\\": \\"***\\"}"}'),
        ("headers={'x-api-key': b'hunter2'}", "headers={'x-api-key': b'***'}"),
        ("aws_secret_access_key=hunter2, region", "aws_secret_access_key=***, region"),
        ("?access_token=hunter2&page=2", "?access_token=***&page=2"),
        ("secrets=['hunter2', 'hunter3'] rest", "secrets=*** rest"),
        ("auth=('user', 'hunter2')", "auth=***"),
        ("Authorization: Basic aHVudGVyMg==\nHost: x", "Authorization: ***\nHost: x"),
        ("Cookie: a=hunter; b=2\r\nHost: x", "Cookie: ***\r\nHost: x"),
        ("postgres://user:hunter2@db.example/site", "postgres://user:***@db.example/site"),
        ("postgres://user:hun@ter2@db.example/site", "postgres://user:***@db.example/site"),
        ("redis://:hunter2@localhost:6379/0", "redis://:***@localhost:6379/0"),
        ("sent Bearer hunter2, refused", "sent Bearer ***, refused"),
        ("key sk_live_hunter2 was refused", "key sk_live_*** was refused"),
        ("got eyJodW50ZXIy.aHVudGVyMg.hunter2", "got ***"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY----- rest", "*** rest"),
        ('password="hunter2', 'password="***'),
    ],
)
def test_a_secret_in_a_text_is_replaced(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "Job completed successfully users=12 credited=480",
        "the author: Bob",
        "https://rapua.nz:443/static?mail=a@b.example",
        "ssh://git@example.org/repo",
        "tokens: 12",
        "the password is wrong",
        "passed=7",
    ],
)
def test_an_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(TEXTS)
@example("password: Basic token: abc")
@settings(max_examples=500)
def test_redacting_again_changes_nothing(text: str) -> None:
    once = redact(text)

    assert redact(once) == once


@given(
    st.sampled_from(["password", "api_key", "Client-Secret", "access_token", "cookie"]),
    st.text("abcXYZ019-_.~+/=!$%^*|:;?", min_size=1).filter(lambda value: value[-1].isalnum()),
    st.sampled_from(["{}={}", "{}: {}", '"{}": "{}"', "'{}': '{}'", "{} := {}", "x {}='{}' y"]),
)
def test_no_part_of_a_value_is_left(name: str, value: str, form: str) -> None:
    assert redact(form.format(name, value)) == form.format(name, "***")


@pytest.mark.parametrize(
    "text",
    [
        "a-" * 40_000,
        "password" * 10_000,
        'password="' * 8_000,
        "password=\\" * 8_000,
        "password" + " " * 80_000,
        "password" + "\\" * 80_000,
        "://a:" * 16_000,
        "://a:" + "b@" * 40_000,
        "://" + "a:" * 40_000,
        "eyJ" + "a" * 80_000,
        "-----BEGIN PRIVATE KEY-----" * 3_000,
    ],
)
@pytest.mark.timeout(20)
def test_a_long_text_takes_time_in_proportion_to_its_length(text: str) -> None:
    assert timeit.timeit(lambda: redact(text), number=1) < 2.0


def test_an_ordinary_line_costs_next_to_nothing() -> None:
    line = "Executing job job='Credit top-up' job_key='credit-topup' run_id='20261101T000000-3fa9c1d2-1' attempt=1"

    seconds = min(timeit.repeat(lambda: redact(line), number=1000, repeat=5)) / 1000

    assert seconds < 10e-6  # measured: 0.7 µs


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("password", "hunter2", True),
        ("DB_PASSWORD", "hunter2", True),
        ("apiKey", "hunter2", True),
        ("set-cookie", "a=b", True),
        ("pin_code_secret", 1234, True),
        ("token", None, False),
        ("secret", True, False),
        ("tokens", 12, False),
        ("tokens", ["hunter2"], True),
        ("author", "Bob", False),
        ("passed", "7", False),
        ("secretary", "Eve", False),
    ],
)
def test_a_field_is_known_by_its_name(name: str, value: object, expected: bool) -> None:
    assert is_secret(name, value) is expected


def test_the_fields_of_a_line_are_redacted_however_deep() -> None:
    event: dict[str, Any] = {
        "event": "token=hunter2",
        "password": "hunter2",
        "headers": {"Authorization": "Bearer hunter2", "accept": "*"},
        "urls": ["https://me:hunter2@example.org", "https://example.org"],
        "count": 3,
    }

    redact_fields(None, "info", event)

    assert event == {
        "event": "token=***",
        "password": "***",
        "headers": {"Authorization": "***", "accept": "*"},
        "urls": ["https://me:***@example.org", "https://example.org"],
        "count": 3,
    }


def test_what_shows_a_secret_only_in_its_representation_is_shown_without() -> None:
    class Settings:
        def __repr__(self) -> str:
            return "Settings(password='hunter2')"

    class Unshowable:
        def __repr__(self) -> str:
            raise SystemExit("no")

    event = {"event": "Started", "settings": Settings(), "unshowable": Unshowable(), "nested": [Settings()]}

    redact_fields(None, "info", event)

    assert event["settings"] == "Settings(password='***')"
    assert event["nested"] == ["Settings(password='***')"]


NESTED = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.one_of(TEXTS, st.integers()), inner)),
)


@given(st.dictionaries(TEXTS, NESTED))
def test_no_field_can_make_it_raise(event: dict[str, Any]) -> None:
    assert redact_fields(None, "info", event) is event


@given(st.dictionaries(TEXTS, NESTED))
def test_a_field_is_changed_for_its_secrets_only(event: dict[str, Any]) -> None:
    before = repr(event)

    redact_fields(None, "info", event)

    if redact(before) == before and not any(is_secret(name, value) for name, value in event.items()):
        assert repr(event) == before


def test_a_large_field_is_cut_and_says_how_much_is_left_out() -> None:
    event: dict[str, Any] = {
        "event": "x" * 10_000_000,
        "rows": [[0] * 1000] * 100_000,
        "entries": dict.fromkeys(range(1_000_000)),
        "texts": ["y" * 10_000] * 100_000,
        "blob": {"of": b"z" * 100_000_000},
        "url": "x" * 99_990 + "postgres://me:hunter2@db" + "x" * 100,
    }

    redact_fields(None, "info", event)

    assert event["event"].endswith("… (9900000 characters left out)")
    assert event["rows"][-1] == "… (90000 left out)"
    assert event["entries"]["…"] == "990000 left out"
    assert "hunter2" not in event["url"]
    assert all(len(str(value)) < 250_000 for value in event.values())
