"""Which absolute URLs are certainly another site's."""

from __future__ import annotations

from rapua_orphaned_uploads.hosts import Hosts

UPLOAD = "static/uploads/2026/11/04/0b5c9e71.jpg"


def test_a_url_of_another_site_is_struck_unless_its_path_names_this_one() -> None:
    hosts = Hosts.of("https://rapua.nz", [])

    assert UPLOAD not in hosts.strike_foreign(f"see https://elsewhere.example/{UPLOAD} there")
    for url in (f"https://i0.wp.com/rapua.nz/{UPLOAD}", f"https://proxy.example/https://RAPUA.nz/{UPLOAD}"):
        assert UPLOAD in hosts.strike_foreign(f"see {url} there")
