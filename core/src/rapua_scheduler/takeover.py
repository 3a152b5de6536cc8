"""Answer what a former host left behind, and compare what it recorded with what the effects say."""

from __future__ import annotations

from datetime import tzinfo

from rapua_scheduler.dispatcher import Dispatcher
from rapua_scheduler.logs import get_logger
from rapua_scheduler.lookahead import Answer, Lookahead
from rapua_scheduler.planner import MOST_LOSSES
from rapua_scheduler.policy import IfUnfinished
from rapua_scheduler.registry import RegisteredJob
from rapua_scheduler.run import Run, RunStatus
from rapua_scheduler.store.port import Store

_RUNS_LOOKED_AT = 20
_log = get_logger("rapua_scheduler.takeover")


class TakeOver:
    """Deals with each job once, when it has come and the store can be asked; belongs to the timing thread."""

    def __init__(self, store: Store, dispatcher: Dispatcher, lookahead: Lookahead, zone: tzinfo) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._lookahead = lookahead
        self._zone = zone
        self._unfinished: dict[str, list[Run]] | None = None
        self._asked: dict[int, Run] = {}

    def take_over(self, registered: RegisteredJob) -> None:
        """Run again what did not come to its end, then what is queued; and ask what has had its effect.

        Raises:
            StoreError: Something could not be recorded; calling it again goes on from there.
        """
        unfinished = self._read().get(registered.job.key, [])
        while unfinished:
            self._answer(registered, unfinished[0])
            unfinished.pop(0)
        self._dispatcher.adopt(registered)
        self._ask_for_effect(registered)

    def _read(self) -> dict[str, list[Run]]:
        if self._unfinished is None:
            unfinished: dict[str, list[Run]] = {}
            for run in self._store.unanswered():
                unfinished.setdefault(run.job_key, []).append(run)
            self._unfinished = unfinished
        return self._unfinished

    def _answer(self, registered: RegisteredJob, run: Run) -> None:
        fields = {"job": registered.job.name, "job_key": run.job_key, "run_id": run.run_id, "status": run.status.value}
        if registered.job.if_unfinished is IfUnfinished.LEAVE:
            self._store.leave([run.run_id])
            _log.warning("Unfinished run left as it is", **fields)
        elif run.losses >= MOST_LOSSES:
            why = f"the host died {run.losses} times during run {run.run_id} for {self._iso(run)}"
            self._dispatcher.pause(run.job_key, why)
            self._store.leave([run.run_id])
        else:
            again = self._store.rerun(run.run_id)
            if again is not None:
                _log.warning("Unfinished run is run again", **fields, fire_time=self._iso(run))
                self._dispatcher.admit(registered, again)

    def _ask_for_effect(self, registered: RegisteredJob) -> None:
        """Ask a job that can tell whether the newest fire time that was run has had its effect."""
        if registered.job.is_done is None:
            return
        runs = self._store.runs(job_key=registered.job.key, limit=_RUNS_LOOKED_AT)
        newest = next((run for run in runs if run.trigger.consumes_fire_time), None)
        if newest is not None and newest.status.is_final:
            self._asked[self._lookahead.ask_is_done(registered, newest.fire_time)] = newest

    def take_answer(self, registered: RegisteredJob, answer: Answer) -> bool:
        """Act on what a job says of an effect; False if *answer* is to another question.

        Raises:
            StoreError: A run that is to be run again could not be recorded so.
        """
        run = self._asked.get(answer.question)
        if run is None:
            return False
        fields = {"job_key": run.job_key, "run_id": run.run_id, "fire_time": self._iso(run)}
        if answer.error is not None or answer.is_done is None:
            problem = "it cannot be told" if answer.error is None else answer.error.problem
            _log.warning("Effect not compared with the store", **fields, problem=problem)
        elif answer.is_done and run.status is not RunStatus.SUCCEEDED:
            _log.warning("Effect is complete, though its run is not", **fields, status=run.status.value)
        elif not answer.is_done and run.status is RunStatus.SUCCEEDED:
            again = self._store.reopen(run.job_key, run.fire_key)
            if again is not None:
                _log.error("Effect is not there, though its run succeeded; it is run again", **fields)
                self._dispatcher.admit(registered, again)
        del self._asked[answer.question]
        return True

    def _iso(self, run: Run) -> str:
        return run.fire_time.astimezone(self._zone).isoformat()
