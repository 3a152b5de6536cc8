"""Which texts of the database count as references, which hosts are the site's own, and which age is old."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rapua_scheduler import SiteError
from rapua_scheduler.testing import ManualClock
from tests.plugins.orphaned_uploads.sites import NOW, URL, MadeSite, go_json, make_site, new_path, set_age


@pytest.fixture
def made(tmp_path: Path) -> MadeSite:
    return make_site(tmp_path)


def is_kept(made: MadeSite, path: str, **how: object) -> bool:
    made.run(**how)  # type: ignore[arg-type]
    assert (path in made.files()) != (path in made.trashed())
    return path in made.files()


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("image", '{"content":"URL","link":""}'),
        ("image", '{"content":"","link":"URL"}'),
        ("button", '{"link":"URL"}'),
        ("markdown", r'{"content":"![a](URL \"t\")"}'),
        ("markdown", r'{"content":"\u003cimg src=\"URL?size=small\"\u003e"}'),
        ("something new", '{"a":[{"b":{"c":["URL"]}}]}'),
        ("broken", '{"content":"URL'),
        ("no JSON", "URL"),
        (1, '"URL"'),
        (None, '{"content":"URL"}'),
    ],
)
def test_the_data_of_a_block_of_any_type_counts(made: MadeSite, type_: object, data: str) -> None:
    path = new_path()
    made.add_file(path)
    made.add_block(data.replace("URL", f"{URL}/static/uploads/{path}"), type_)  # type: ignore[arg-type]

    assert is_kept(made, path)


def test_bytes_and_broken_utf_8_count_as_texts_do(made: MadeSite) -> None:
    in_bytes, in_broken, in_long = new_path(), new_path(), new_path()
    for path in (in_bytes, in_broken, in_long):
        made.add_file(path)
    made.add_block(f'{{"content":"/static/uploads/{in_bytes}"}}'.encode())
    made.execute(
        "INSERT INTO blocks (id, owner_id, data) VALUES ('x', 'o', CAST(? AS TEXT))", b"\xff\xc3" + in_broken.encode()
    )
    made.add_block(go_json({"content": "ā" * 800_000 + f"/static/uploads/{in_long}" + "ā" * 800_000}))
    made.execute("INSERT INTO blocks (id, owner_id, data) VALUES ('y', 'o', NULL), ('z', 'o', 7)")

    assert made.run()["taken"] == 0


@pytest.mark.parametrize("edge", [1024 * 1024 - 8 * 1024, 1024 * 1024])
def test_a_reference_across_the_edge_of_two_parts_of_a_huge_text_counts(made: MadeSite, edge: int) -> None:
    for number in range(14, 30):
        path = f"2026/11/{number:02}/photo number {number}.jpg"
        made.add_file(path)
        text = bytearray(b" " * (edge + 8 * 1024))
        spelled = f"/static/uploads/{path.replace(' ', '%20')}".encode()
        text[edge - number : edge - number + len(spelled)] = spelled
        made.add_block(bytes(text))

    assert made.run()["taken"] == 0


def test_a_players_photo_counts(made: MadeSite) -> None:
    path = new_path()
    made.add_file(path)
    made.insert(
        "team_block_states", team_code="T", block_id="b", player_data=go_json({"images": [f"/static/uploads/{path}"]})
    )

    assert is_kept(made, path)


def test_a_notice_counts_even_cut_off(made: MadeSite) -> None:
    path, other = "2026/11/02/3f2a91c0-5b1d-4e6f-8a7b-0c9d8e7f6a5b.jpg", new_path(folder="2026/11/03")
    made.add_file(path)
    made.add_file(other)
    made.insert("notifications", content=f"{'Hurry! ' * 28}{URL}/static/uploads/2026/11/02/3f2a91"[:255])

    assert is_kept(made, path)
    assert other not in made.files()


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        ({"team_code": "TEAM"}, True),
        ({"team_code": "TEAM", "block_id": "dead"}, True),
        ({"block_id": "alive"}, True),
        ({"block_id": "dead"}, False),
        ({"block_id": None, "team_code": None}, False),
        ({"team_code": ""}, False),
        ({"location_id": "L", "instance_id": "I"}, False),
    ],
)
def test_a_row_of_uploads_counts_with_a_team_or_a_live_block(
    made: MadeSite, columns: dict[str, object], kept: bool
) -> None:
    path = new_path()
    made.add_file(path)
    made.insert("blocks", id="alive", owner_id="o", data="{}")
    made.add_upload(path, **columns)

    assert is_kept(made, path) == kept


@pytest.mark.parametrize("table", ["instances", "credit_purchases", "locations"])
def test_other_tables_do_not_count(made: MadeSite, table: str) -> None:
    path = new_path()
    made.add_file(path)
    if table == "locations":
        made.execute("CREATE TABLE locations (id, content)")
        made.insert("locations", content=f"{URL}/static/uploads/{path}")
    elif table == "instances":
        made.insert("instances", game_structure=f"{URL}/static/uploads/{path}")
    else:
        values = {"user_id": "u", "credits": 1, "amount_paid": 1, "stripe_session_id": "s"}
        made.insert("credit_purchases", receipt_url=f"{URL}/static/uploads/{path}", **values)

    assert not is_kept(made, path)


# -- hosts ------------------------------------------------------------------------------------------


def test_a_former_host_counts_once_a_row_shows_that_the_site_minted_it(made: MadeSite) -> None:
    minted, foreign = new_path(), new_path()
    for host, path in (("old.example", minted), ("elsewhere.example", foreign)):
        made.add_file(path)
        made.add_block({"content": f"http://{host}/static/uploads/{path}"})
    made.add_upload("https://old.example/static/uploads/2019/01/01/gone.jpg")

    made.run()

    assert made.files() == {minted}


def test_the_row_that_shows_a_former_host_is_not_deleted(made: MadeSite) -> None:
    duplicated, orphans = new_path(), [new_path(), new_path()]
    made.add_file(duplicated)
    made.add_block({"content": f"https://old.example/static/uploads/{duplicated}"})
    for orphan in orphans:
        made.add_file(orphan)
        made.add_upload(f"https://old.example/static/uploads/{orphan}")

    for night in range(3):
        made.run(run_id=f"night-{night}", fire_time=NOW + timedelta(days=night))

    assert made.files() == {duplicated}
    assert len(made.upload_ids()) == 1


@pytest.mark.parametrize("alias", ["alias.example", "https://alias.example/", "ALIAS.example:8443"])
def test_an_alias_counts_however_it_is_written(made: MadeSite, alias: str) -> None:
    path = new_path()
    made.add_file(path)
    made.add_block({"content": f"https://alias.example/static/uploads/{path}"})

    assert is_kept(made, path, settings={"aliases": (alias,)})


@pytest.mark.parametrize(
    "url", ["https://x.example/rapua", "http://X.example:8090", "//x.example", "https://www.x.example"]
)
def test_the_sites_address_may_have_a_path_or_a_port(tmp_path: Path, url: str) -> None:
    made, own, foreign = make_site(tmp_path, url=url), new_path(), new_path()
    for host, path in (("x.example", own), ("y.example", foreign)):
        made.add_file(path)
        made.add_block({"content": f"https://{host}/rapua/static/uploads/{path}"})

    made.run()

    assert made.files() == {own}


def test_a_site_without_an_address_is_cleaned_if_none_is_needed(tmp_path: Path) -> None:
    made, used, orphan = make_site(tmp_path, url=None), new_path(), new_path()
    made.add_file(used)
    made.add_file(orphan)
    made.add_block({"content": f"/static/uploads/{used}", "link": "https://blog.example/2026/11/02/hello"})

    made.run()

    assert made.files() == {used}


def test_a_site_without_an_address_is_left_alone_if_one_is_needed(tmp_path: Path) -> None:
    made, path = make_site(tmp_path, url=None), new_path()
    made.add_file(path)
    made.add_upload("https://old.example/static/uploads/2019/01/01/gone.jpg")
    made.add_block({"content": f"https://new.example/static/uploads/{path}"})

    with pytest.raises(SiteError, match=r"new\.example .* set \[rapua_scheduler\.site\] url"):
        made.run()
    assert made.files() == {path}


def test_a_site_without_an_address_judges_the_hosts_its_rows_name(tmp_path: Path) -> None:
    made, used, orphan = make_site(tmp_path, url=None), new_path(), new_path()
    made.add_file(used)
    made.add_file(orphan)
    made.add_upload("https://old.example/static/uploads/2019/01/01/gone.jpg")
    made.add_block({"content": f"https://old.example/static/uploads/{used}"})

    made.run()

    assert made.files() == {used}


# -- age --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        (timedelta(hours=24, microseconds=1), False),
        (timedelta(hours=24), True),
        (timedelta(hours=23, minutes=59), True),
        (timedelta(0), True),
        (timedelta(seconds=-1), True),
        (timedelta(days=-4000), True),
        (timedelta(days=9000), False),
    ],
)
def test_a_file_goes_once_it_is_older_than_a_day(made: MadeSite, age: timedelta, kept: bool) -> None:
    path = new_path()
    made.add_file(path, age=age)

    assert is_kept(made, path) == kept


def test_the_age_is_counted_in_hours_across_a_change_of_clocks(made: MadeSite) -> None:
    monday = NOW.replace(month=9, day=28, hour=1)  # clocks in Auckland went forward on the 27th, at 2:00
    path = new_path()
    hour_too_young = monday.astimezone(UTC) - timedelta(hours=23, minutes=30)
    set_age(made.add_file(path), NOW.astimezone(UTC) - hour_too_young)

    assert is_kept(made, path, fire_time=monday)


@pytest.mark.parametrize("is_late", [True, False])
def test_the_age_is_counted_at_the_fire_time_or_now_whichever_is_earlier(made: MadeSite, is_late: bool) -> None:
    young, old = new_path(), new_path()
    made.add_file(young, age=timedelta(hours=12))
    made.add_file(old, age=timedelta(hours=36))
    fire_time, now = (NOW, NOW + timedelta(days=2)) if is_late else (NOW + timedelta(days=2), NOW)

    made.run(fire_time=fire_time, clock=ManualClock(now))

    assert made.files() == {young}


def test_the_zone_of_the_site_does_not_matter_for_the_age(tmp_path: Path) -> None:
    made = make_site(tmp_path).with_site(timezone=ZoneInfo("Pacific/Kiritimati"))
    path = new_path()
    made.add_file(path, age=timedelta(hours=23, minutes=59))

    assert is_kept(made, path, fire_time=NOW.astimezone(ZoneInfo("Pacific/Kiritimati")))


def test_min_age_can_be_set(made: MadeSite) -> None:
    path = new_path()
    made.add_file(path, age=timedelta(minutes=31))

    assert is_kept(made, path, settings={"min_age": "1h"})
    assert not is_kept(made, path, settings={"min_age": "30m"}, run_id="second")
