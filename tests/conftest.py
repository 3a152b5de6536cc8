"""What all tests share: how Hypothesis goes about it where mutants of the code are tried."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, is_hypothesis_test, settings

# The same few examples for every mutant, however slow it is; the first that fails is enough, and stays as it is.
settings.register_profile(
    "mutants",
    max_examples=50,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let a mutant meet the plain tests first, most of which are quick, and none that asks other processes.

    A process that a test starts runs the code that is installed, which is whole.
    """
    if config.getoption("--hypothesis-profile") == "mutants":
        items[:] = [item for item in items if not _starts_process(item)]
        items.sort(key=lambda item: is_hypothesis_test(getattr(item, "obj", None)))


def _starts_process(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "Child" in item.function.__code__.co_names
