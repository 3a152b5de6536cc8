"""A process of one of the tests, and what it says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]


class Child:
    """A process that performs a function of `tests.store.children`; killed when left."""

    def __init__(self, name: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.children", name, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def hear(self, word: str) -> dict[str, Any]:
        """Return the next thing it says, which must be *word*."""
        said = next(self.hear_all(), None)
        assert said is not None, f"the child ended before it said {word!r}"
        assert said["word"] == word
        return said

    def hear_all(self) -> Iterator[dict[str, Any]]:
        """Yield what it says until it ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # what it was saying when it was killed, it has not said
                yield json.loads(line)

    def go_on(self) -> None:
        """Let it go on from where it waits for its parent."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it as nothing but the kernel can."""
        self._process.send_signal(signal.SIGKILL)

    def end(self) -> int:
        """Wait for its end, and return its exit status."""
        return self._process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(60)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
