"""What every store must do, as tests: derive a class from `StoreConformance` and give it a `store` fixture.

```python
class TestMyStore(StoreConformance):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = MyStore()
        yield store
        store.close()
```

Needs pytest, which nothing else in this package imports.
"""

from rapua_scheduler.testing.store_conformance.absences import Absences
from rapua_scheduler.testing.store_conformance.attempts import Attempts
from rapua_scheduler.testing.store_conformance.by_hand import ByHand
from rapua_scheduler.testing.store_conformance.deciding import Deciding
from rapua_scheduler.testing.store_conformance.declaring import Declaring
from rapua_scheduler.testing.store_conformance.ends import Ends
from rapua_scheduler.testing.store_conformance.gaps import Gaps
from rapua_scheduler.testing.store_conformance.listings import Listings
from rapua_scheduler.testing.store_conformance.logs import Logs
from rapua_scheduler.testing.store_conformance.opening import Opening
from rapua_scheduler.testing.store_conformance.pruning import Pruning
from rapua_scheduler.testing.store_conformance.renaming import Renaming
from rapua_scheduler.testing.store_conformance.samples import (
    HOUR,
    PATIENCE,
    START,
    finish,
    job_of,
    not_to_run,
    run_of,
    settle,
    some_gap,
    some_job,
    some_run,
    start,
    to_queue,
    to_run,
    waiting,
)
from rapua_scheduler.testing.store_conformance.times import Times
from rapua_scheduler.testing.store_conformance.unfinished import Unfinished
from rapua_scheduler.testing.store_conformance.words import Words

__all__ = [
    "HOUR",
    "PATIENCE",
    "START",
    "StoreConformance",
    "finish",
    "job_of",
    "not_to_run",
    "run_of",
    "settle",
    "some_gap",
    "some_job",
    "some_run",
    "start",
    "to_queue",
    "to_run",
    "waiting",
]


class StoreConformance(
    Declaring,
    Renaming,
    Deciding,
    Gaps,
    ByHand,
    Attempts,
    Ends,
    Logs,
    Unfinished,
    Words,
    Absences,
    Listings,
    Times,
    Pruning,
    Opening,
):
    """Tests that every store passes."""
