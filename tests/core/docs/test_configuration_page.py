"""reference/configuration.md tells every key of the configuration, with its default."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest

from rapua_credit_topup import CreditTopUpSettings
from rapua_orphaned_uploads import OrphanedUploadsSettings
from rapua_scheduler import config
from rapua_scheduler.overrides import JobOverrides
from rapua_scheduler.settings import Where, structure_settings
from rapua_stale_purchases import StalePurchasesSettings
from tests.core.docs.pages import DOCS, code_blocks, read, sections, table_rows

PAGE = "reference/configuration.md"
TABLES = {
    "[rapua_scheduler]": config._SchedulerTable,
    "[rapua_scheduler.site]": config._SiteTable,
    "[rapua_scheduler.jobs.<key>]": JobOverrides,
    "[rapua_scheduler.plugins.credit_topup]": CreditTopUpSettings,
    "[rapua_scheduler.plugins.stale_purchases]": StalePurchasesSettings,
    "[rapua_scheduler.plugins.orphaned_uploads]": OrphanedUploadsSettings,
}
_BELOW = {"site", "jobs", "plugins"}  # tables with a section of their own
_CASES = [
    (table, field.name) for table, cls in TABLES.items() for field in attrs.fields(cls) if field.name not in _BELOW
]


def told(table: str) -> dict[str, str]:
    """Return the cell of the default by key, from the table of keys under the heading of *table*."""
    section = sections(read(PAGE))[f"`{table}`"]
    return {row[0].strip("`"): row[2] for row in table_rows(section) if len(row) == 4}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_told_with_exactly_its_keys(table: str) -> None:
    keys = {field.name for field in attrs.fields(TABLES[table])} - _BELOW

    assert set(told(table)) == keys


@pytest.mark.parametrize(("table", "key"), _CASES)
def test_a_key_is_told_with_the_default_that_it_has(table: str, key: str) -> None:
    cls: Any = TABLES[table]
    default = getattr(cls(), key)

    cell = told(table)[key]

    if default is None:  # the cell says in words what holds then
        with pytest.raises(tomllib.TOMLDecodeError):
            tomllib.loads(f"{key} = {cell.strip('`')}")
        return
    written = tomllib.loads(f"{key} = {cell.strip('`')}")
    assert getattr(structure_settings(written, cls, Where("page", table, Path("/"))), key) == default


def test_the_toml_on_the_page_is_accepted() -> None:
    for block in code_blocks(DOCS / PAGE):
        if block.language != "toml" or "rapua_scheduler" not in block.code:
            continue
        document = tomllib.loads(block.code)["rapua_scheduler"]
        known = {table[1:-1]: cls for table, cls in TABLES.items()}
        plugins = document.pop("plugins", {})
        site = document.pop("site", {})
        structure_settings(document, config._SchedulerTable, Where(block.place, "rapua_scheduler", Path("/")))
        structure_settings(site, config._SiteTable, Where(block.place, "rapua_scheduler.site", Path("/")))
        for name, table in plugins.items():
            cls = known.get(f"rapua_scheduler.plugins.{name}")
            if cls is not None:
                structure_settings(table, cls, Where(block.place, name, Path("/")))
