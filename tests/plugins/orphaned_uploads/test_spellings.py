"""Every spelling of an upload's URL that leads to the file keeps it; another host's keeps nothing."""

from __future__ import annotations

import random
import time
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rapua_orphaned_uploads.hosts import Hosts
from rapua_orphaned_uploads.references import References
from rapua_orphaned_uploads.spelling import name_in_texts
from tests.plugins.orphaned_uploads import spellings

FOLDER = "2026/11/02"
UUID = "3f2a91c0-5b1d-4e6f-8a7b-0c9d8e7f6a5b.jpg"
OTHERS = ["b3c1d2e4-0000-4000-8000-000000000000.png", "other name.jpg", "été 9.jpg", "q.jpg"]
OWN = ["rapua.example", "old.rapua.example"]

# Anything a file system takes, but for what means something else in a path: those names are kept anyway.
names = st.one_of(
    st.just(UUID),
    st.uuids(version=4).map(lambda value: f"{str(value).upper()}.JPG"),
    st.sampled_from(
        [name.format(n="7") for name in ("b{n}.jpg", "new {n}.jpg", "u00e9{n}.png", "tree%41{n}.gif", "r{n}")]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=20),
).filter(lambda name: len(name.encode()) < 200 and name not in {".", ".."})

randoms = st.integers(0, 2**32).map(random.Random)


def unreferenced(text: str, *files: str, hosts: list[str] = OWN, folder: str = FOLDER) -> set[str]:
    references = References([folder], Hosts.of(f"https://{hosts[0]}", [f"//{host}" for host in hosts[1:]]))
    references.add(text)
    return set(references.unreferenced(folder, files))


def is_certain(name: str) -> bool:
    return name_in_texts(name) is not None


@settings(max_examples=400, deadline=None)
@given(names, randoms, st.lists(st.sampled_from(spellings.PATHS), max_size=3))
def test_any_spelling_of_its_url_keeps_a_file(name: str, rng: random.Random, layers: list[spellings.Spelling]) -> None:
    address = spellings.url(rng, f"{FOLDER}/{name}", OWN, layers)
    text = spellings.in_json(rng, spellings.in_text(rng, address))

    assert not is_certain(name) or name not in unreferenced(text, name, *OTHERS)


@settings(max_examples=200, deadline=None)
@given(names.filter(lambda name: name not in OTHERS), randoms)
def test_what_the_application_stores_keeps_that_file_and_no_other(name: str, rng: random.Random) -> None:
    text = spellings.in_json(rng, f"https://rapua.example/static/uploads/{quote(f'{FOLDER}/{name}')}")

    left = unreferenced(text, name, *OTHERS)

    if is_certain(name) and not any(other.startswith(name[:1]) for other in OTHERS):
        assert left == set(OTHERS)


@settings(max_examples=200, deadline=None)
@given(
    randoms,
    st.sampled_from(
        ["elsewhere.example", "ELSEWHERE.example", "rapua.example.org", "myrapua.example", "a.b.c.example:81"]
    ),
    st.sampled_from(["https:", "http:", ""]),
)
@example(random.Random(0), "elsewhere.example", "")
def test_the_url_of_another_host_keeps_nothing(rng: random.Random, host: str, scheme: str) -> None:
    address = f"{scheme}//{host}/static/uploads/{FOLDER}/{UUID}{spellings.suffix(rng)}"
    text = rng.choice([address, f"![x]({address})", f'<img src="{address}">', f"One\n{address}\nTwo", f"<{address}>"])

    assert unreferenced(spellings.in_json(rng, text), UUID) == {UUID}


@pytest.mark.parametrize(
    "text",
    [
        "https://rapua.example/static/uploads/2026/11/02/my%20photo.jpg",
        "/static/uploads/2026/11/02/my photo.jpg",
        "static/uploads/2026/11/02/my+photo.jpg",
        "../../static/uploads/2026/11/./02//my%20photo.jpg",
        "/static/uploads/2026/10/../11/02/my%20photo.jpg",
        "/static/uploads/2026/10/31/../../11/02/my%20photo.jpg",
        "/static/uploads/2026/11/02/x/../my%20photo.jpg",
        r"\static\uploads\2026\11\02\my photo.jpg",
        r"https:\/\/rapua.example\/static\/uploads\/2026\/11\/02\/my%20photo.jpg",
        "https%3A%2F%2Frapua.example%2Fstatic%2Fuploads%2F2026%2F11%2F02%2Fmy%2520photo.jpg",
        "&#47;static&#x2F;uploads&sol;2026/11/02/my&#32;photo.jpg",
        "/static/uploads/2026&#47;11&#x2F;02&sol;my&nbsp;photo.jpg /2026&sol;11&sol;02&sol;my%20photo.jpg",
        "/static/uploads/2026/11/02/\nmy%20photo.jpg",
        r'{"a":"/static/uploads/2026/11/\n  02/my%20photo.jpg"}',
        r"/static/uploads/\u0032026/11/02/\u006Dy photo.jpg",
        "/STATIC/UPLOADS/2026/11/02/MY%20PHOTO.JPG",
        "https://[2001:db8::1]/static/uploads/2026/11/02/my%20photo.jpg",
        "https://10.0.0.7:8090/static/uploads/2026/11/02/my%20photo.jpg",
        "http://localhost/static/uploads/2026/11/02/my%20photo.jpg",
        "https://xn--bcher-kva.example/static/uploads/2026/11/02/my%20photo.jpg",
        "https://bücher.example/static/uploads/2026/11/02/my%20photo.jpg",
        "https://user:secret@rapua.example/static/uploads/2026/11/02/my%20photo.jpg",
        "https://elsewhere.example@rapua.example/static/uploads/2026/11/02/my%20photo.jpg",
        "https://elsewhere.example/?u=/static/uploads/2026/11/02/my%20photo.jpg",
        "https://elsewhere.example/a.jpg,/static/uploads/2026/11/02/my%20photo.jpg",
        "https://elsewhere.example/https://rapua.example/static/uploads/2026/11/02/my%20photo.jpg",
        "rapua.example//elsewhere.example/static/uploads/2026/11/02/my%20photo.jpg",
        "ftp://rapua.example/static/uploads/2026/11/02/my%20photo.jpg",
        "/static/uploads/2026/11/02/my%20pho",
        "/static/uploads/2026/11/02/my%2",
        "/static/uploads/2026/11/02/my%20p...",
        "/static/uploads/2026/11/02/my%20p… and so on",
        "/static/uploads/2026/11/02/",
    ],
)
def test_a_reference_that_could_lead_to_the_file_keeps_it(text: str) -> None:
    assert unreferenced(text, "my photo.jpg", "other.jpg") <= {"other.jpg"}


def test_a_backslash_before_a_name_does_not_make_it_one_that_is_cut_off() -> None:
    for separator in ("\\", "/\\", "\\.\\", "/.\\"):
        assert unreferenced(f"/static/uploads/2026/11/02{separator}{OTHERS[0]}", UUID, OTHERS[0]) == {UUID}


@pytest.mark.parametrize("cut", range(1, len(UUID)))
def test_a_name_that_is_cut_off_keeps_all_that_begin_so(cut: int) -> None:
    text = f"Hurry! https://rapua.example/static/uploads/2026/11/02/{UUID[:cut]}"

    assert unreferenced(text, UUID, OTHERS[0]) == {OTHERS[0]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "my photo.jpg",
        "/static/uploads/2026/11/03/my%20photo.jpg",
        "/static/uploads/2026/11/02/your%20photo.jpg",
        "/static/uploads/2026/11/02/another.jpg",
        "on 2026/11/02 we met",
        "on 2026-11-02",
        "https://elsewhere.example/static/uploads/2026/11/02/my%20photo.jpg",
        "see //elsewhere.example/static/uploads/2026/11/02/my%20photo.jpg",
        r'{"a":"One\nhttps://elsewhere.example/static/uploads/2026/11/02/my%20photo.jpg"}',
    ],
)
def test_what_does_not_lead_to_the_file_keeps_nothing(text: str) -> None:
    assert unreferenced(text, "my photo.jpg") == {"my photo.jpg"}


@pytest.mark.parametrize("escape", ["&#45;", "&#x2d;", "%2D", "%252d", "\\u002d", "\\\\u002D"])
def test_a_uuid_may_be_spelled_with_escapes(escape: str) -> None:
    assert unreferenced(f"[a](/x/{UUID.replace('-', escape)})", UUID, OTHERS[0]) == {OTHERS[0]}


def test_a_day_that_is_named_more_often_than_anybody_would_is_kept_as_a_whole() -> None:
    text = " ".join(f"/{FOLDER}/nothing-{number}.jpg" for number in range(5001))

    assert unreferenced(text, UUID, "a.jpg") == set()
    assert unreferenced(text, "a.jpg", folder="2026/11/03") == {"a.jpg"}


def test_two_names_that_one_reference_may_mean_are_both_kept() -> None:
    assert unreferenced("/static/uploads/2026/11/02/a%20b.jpg", "a b.jpg", "a%20b.jpg", "A B.jpg", "c.jpg") == {"c.jpg"}


@pytest.mark.parametrize("name", ["\udcff.jpg", "a\\", "\\x.jpg", "%2Fx", "%2e%2e%2fx", "%00"])
def test_a_name_that_cannot_be_searched_for_is_not_decided_on(name: str) -> None:
    assert name_in_texts(name) is None


@pytest.mark.parametrize(
    "text",
    [
        "/../" * 250_000,
        "/a" * 100_000 + "/.." * 100_000,
        "a" * 500_000 + "/../",
        "%25" + "25" * 300_000,
        "\\" * 500_000,
        "&amp;" * 100_000,
        "&" * 500_000,
        "2026/11" + " \\n " * 150_000,
        "/11/" + "./" * 300_000,
        "//" * 300_000,
        "\\n/" * 200_000,
        "2026/11/./" * 60_000,
        "//a" * 200_000,
        "https://elsewhere.example/" + "uploads/" * 80_000,
        "2026/11/02/" * 60_000,
        "".join(f"2026/11/02/{number:06d}" for number in range(60_000)),
        "3f2a91c0-5b1d-4e6f-8a7b-" * 30_000,
        "\\u" * 300_000,
        "%5C" * 200_000,
    ],
    ids=range(19),
)
def test_a_text_made_to_be_slow_is_not(text: str) -> None:
    began = time.perf_counter()

    unreferenced(text, UUID, "a.jpg")

    assert time.perf_counter() - began < 5
