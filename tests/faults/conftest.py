from __future__ import annotations

from tests.core.plugins.conftest import load, make_config, packages  # noqa: F401  fixtures
