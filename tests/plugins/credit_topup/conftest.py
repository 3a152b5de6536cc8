"""Fixtures of the top-up's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapua_scheduler.demo.database import create_database
from tests.plugins.credit_topup.sites import AUCKLAND, NOVEMBER, MadeSite


@pytest.fixture
def site(tmp_path: Path) -> MadeSite:
    """A site in Auckland without users, in November 2026."""
    create_database(tmp_path / "site.db")
    return MadeSite(tmp_path / "site.db", AUCKLAND, NOVEMBER)
