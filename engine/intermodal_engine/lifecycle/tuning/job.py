"""The life of a tuning job: trials are proposed, run as training jobs, watched, and compared.

A trial is in the record before its training job is made, so a new engine makes it if the old one
could not, and never twice.
"""

import logging
from collections.abc import Mapping
from typing import Any

from intermodal_contract.statuses import TrainingJobStatus, TuningJobStatus, is_terminal
from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle import training_instances
from intermodal_engine.lifecycle.attempt import JobEndedError
from intermodal_engine.lifecycle.failure import shorten
from intermodal_engine.lifecycle.training_job import TrainingJobLifecycle
from intermodal_engine.lifecycle.transitions import has_yet_to_stop, set_status
from intermodal_engine.lifecycle.tuning.search import (
    is_watching,
    most_of,
    objective_reached,
    resources_of_hyperband,
    search_of,
    why_hopeless,
)
from intermodal_engine.lifecycle.tuning.stopping import below_median, losers
from intermodal_engine.lifecycle.tuning.strategies import (
    NoOptimizerError,
    Seen,
    propose,
)
from intermodal_engine.lifecycle.tuning.trials import (
    Trial,
    best_of,
    definitions_of,
    dump,
    objective_of,
    training_job_name,
    training_request,
    trials_of,
)
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.store.metric_points import MetricPoints
from intermodal_engine.store.records import Record, RecordExistsError, RecordNotFoundError, Records

KIND = "hyper-parameter-tuning-job"

WATCH_S = 1.0
"""How often the objectives of running trials are looked at, where some may be ended early."""

HOPELESS = 5
"""With so many trials and no success among them the tuning job fails, as on AWS."""

_log = logging.getLogger(__name__)


class TuningLifecycle:
    """All tuning jobs of one engine.

    Args:
        records: where they are kept.
        training_jobs: run the trials.
        points: what running trials report.
        queue: calls `reconcile`.
        clock: time limits.
    """

    def __init__(
        self,
        *,
        records: Records,
        training_jobs: TrainingJobLifecycle,
        points: MetricPoints,
        queue: WorkQueue,
        clock: Clock,
    ) -> None:
        self._records = records
        self._training_jobs = training_jobs
        self._points = points
        self._queue = queue
        self._clock = clock
        queue.register(KIND, self.reconcile)

    def create(
        self,
        request: Mapping[str, Any],
        *,
        arn: str,
        training_arn: str,
        tags: Mapping[str, str],
        parents: Mapping[str, Any],
    ) -> Record:
        """Accepts a job.

        Args:
            request: the parameters of CreateHyperParameterTuningJob.
            arn: its ARN.
            training_arn: what the ARN of a training job is before its name.
            tags: its tags, which its training jobs have as well.
            parents: what earlier jobs have found, by definition; see `seen_of`.

        Raises:
            RecordExistsError: the name is taken.
        """
        name = request["HyperParameterTuningJobName"]
        record = self._records.insert(
            KIND,
            name,
            arn=arn,
            request=request,
            status=TuningJobStatus.IN_PROGRESS,
            state={"trials": [], "training_arn": training_arn, "parents": parents},
            tags=tags,
        )
        self.wake(name)
        return record

    def stop(self, name: str) -> None:
        """Begins to stop a job and its running trials.

        Raises:
            RecordNotFoundError: no such job.
            JobEndedError: it has ended.
        """
        with self._records.edit(KIND, name) as draft:
            if has_yet_to_stop(draft, TuningJobStatus.STOPPING):
                set_status(draft, TuningJobStatus.STOPPING)
        self.wake(name)

    def recover(self) -> None:
        """Looks at every job that had not ended when the engine did."""
        for record in self._records.all(
            KIND, TuningJobStatus.IN_PROGRESS, TuningJobStatus.STOPPING
        ):
            self.wake(record.name)

    def wake(self, name: str) -> None:
        """Has a job looked at."""
        self._queue.wake(KIND, name)

    def on_training_job_end(self, record: Record) -> None:
        """A training job has ended; it may be somebody's trial."""
        if "tuning_job" in record.state:
            self.wake(record.state["tuning_job"])

    def reconcile(self, name: str) -> float | None:
        """Does whatever is due for one job; returns when to look again."""
        record = self._records.find(KIND, name)
        if record is None or is_terminal(TuningJobStatus(record.status)):
            return None
        record = self._settle(record)
        trials = trials_of(record)
        running = [one for one in trials if one.is_open]
        if record.status == TuningJobStatus.STOPPING:
            self._end(record, running, TuningJobStatus.STOPPED)
            return None  # each trial that ends wakes the job
        if "ending" in record.state or self._is_over(record, trials):
            self._end(record, running, TuningJobStatus.COMPLETED)
            return None
        if self._is_hopeless(record, trials):
            self._end(record, running, TuningJobStatus.FAILED)
            return None
        self._end_early(record, trials)
        record = self._launch(record)
        if not any(one.is_open for one in trials_of(record)):
            self._close(record)
            return None
        return self._next_look(record)

    # Trials

    def _settle(self, record: Record) -> Record:
        """Notes what became of trials, and makes training jobs that are not there yet."""
        trials = trials_of(record)
        for trial in trials:
            if not trial.is_open:
                continue
            training = self._records.find(training_instances.KIND, trial.name)
            if training is None:
                self._start(record, trial)
            elif is_terminal(TrainingJobStatus(training.status)):
                metric = self._objective(record, trial)["MetricName"]
                trial.status = training.status
                trial.objective = objective_reached(training, metric)
                trial.failure_reason = training.state.get("failure_reason")
        return self._keep(record, trials)

    def _launch(self, record: Record) -> Record:
        """Starts as many trials as may run beside one another."""
        limits = record.request["HyperParameterTuningJobConfig"]["ResourceLimits"]
        while True:
            trials = trials_of(record)
            running = sum(one.is_open for one in trials)
            if running >= limits["MaxParallelTrainingJobs"] or len(trials) >= most_of(record):
                return record
            try:
                trial = self._proposed(record, trials)
            except NoOptimizerError as error:
                return self._note(record, ending="Failed", failure_reason=str(error))
            if trial is None:
                return record
            record = self._keep(record, [*trials, trial])
            self._start(record, trial)

    def _proposed(self, record: Record, trials: list[Trial]) -> Trial | None:
        """The next trial; several definitions take turns."""
        number = len(trials) + 1
        definitions = definitions_of(record.request)
        index = len(trials) % len(definitions)
        own = [one for one in trials if one.definition == index]
        parents = record.state["parents"].get(str(index), [])
        seen = [Seen(one["values"], one["objective"]) for one in parents]
        seen += [Seen(one.values, one.objective, is_running=one.is_open) for one in own]
        values = propose(search_of(record, index), len(own), seen)
        if values is None:
            return None
        return Trial(number, training_job_name(record.name, number), index, values)

    def _start(self, record: Record, trial: Trial) -> None:
        try:
            self._training_jobs.create(
                training_request(record.request, trial),
                arn=f"{record.state['training_arn']}{trial.name.lower()}",
                tags=self._records.tags(record.arn),
                belongs_to={"tuning_job": record.name, "tuning_job_arn": record.arn},
            )
        except RecordExistsError:
            _log.info("training job `%s` is there already", trial.name)

    def _end_early(self, record: Record, trials: list[Trial]) -> None:
        """Stops running trials that the others leave behind."""
        if not is_watching(record):
            return
        curves = {one.name: self._curve(record, one) for one in trials}
        for index, _ in enumerate(definitions_of(record.request)):
            own = [one for one in trials if one.definition == index]
            maximized = search_of(record, index).is_maximized
            running = [one.name for one in own if one.is_open]
            ended = [curves[one.name] for one in own if not one.is_open]
            resources = resources_of_hyperband(record)
            if resources is not None:
                there = {one.name: curves[one.name] for one in own}
                chosen = losers(there, running, resources, is_maximized=maximized)
            else:
                chosen = [
                    name
                    for name in running
                    if below_median(curves[name], ended, is_maximized=maximized)
                ]
            for name in chosen:
                self._stop_trial(name)

    def _curve(self, record: Record, trial: Trial) -> list[float]:
        metric = self._objective(record, trial)["MetricName"]
        kind = training_instances.KIND
        values = self._points.values(kind, trial.name, metric, 0.0, float("inf"))
        return [value for _, value in values]

    def _stop_trial(self, name: str) -> None:
        try:
            self._training_jobs.stop(name)
        except (JobEndedError, RecordNotFoundError):
            return

    # Endings

    def _is_over(self, record: Record, trials: list[Trial]) -> bool:
        """Whether a criterion of completion is met; it is noted then."""
        config = record.request["HyperParameterTuningJobConfig"]
        criteria = config.get("TuningJobCompletionCriteria", {})
        limit_s = config["ResourceLimits"].get("MaxRuntimeInSeconds")
        maximized = search_of(record, 0).is_maximized
        best = best_of(trials, is_maximized=maximized)
        if limit_s is not None and self._clock.now() >= record.created_at + limit_s:
            self._note(record, ending="MaxRuntimeInSeconds")
            return True
        target = criteria.get("TargetObjectiveMetricValue")
        if target is not None and best is not None and best.objective is not None:
            is_met = best.objective >= target if maximized else best.objective <= target
            if is_met:
                self._note(record, ending="TargetObjectiveMetricValue")
                return True
        patience = criteria.get("BestObjectiveNotImproving", {}).get(
            "MaxNumberOfTrainingJobsNotImproving"
        )
        if patience is not None and best is not None:
            later = [one for one in trials if one.number > best.number and not one.is_open]
            if len(later) >= patience:
                self._note(record, ending="BestObjectiveNotImproving")
                return True
        return False

    def _is_hopeless(self, record: Record, trials: list[Trial]) -> bool:
        ended = [one for one in trials if not one.is_open]
        if len(ended) < HOPELESS or any(one.is_success for one in trials):
            return False
        self._note(record, ending="Failed", failure_reason=why_hopeless(record, ended))
        return True

    def _end(self, record: Record, running: list[Trial], status: TuningJobStatus) -> None:
        """Ends once no trial runs any more."""
        if running:
            for one in running:
                self._stop_trial(one.name)
            return
        record = self._records.get(KIND, record.name)
        if record.state.get("ending") == "Failed":
            status = TuningJobStatus.FAILED
        self._finish(record, status)

    def _close(self, record: Record) -> None:
        """All trials that were to be run have ended."""
        trials = trials_of(record)
        if record.state.get("ending") == "Failed":
            self._finish(record, TuningJobStatus.FAILED)
        elif trials and not any(one.is_success for one in trials):
            self._note(record, failure_reason=why_hopeless(record, trials))
            self._finish(record, TuningJobStatus.FAILED)
        else:
            self._finish(record, TuningJobStatus.COMPLETED)

    def _finish(self, record: Record, status: TuningJobStatus) -> None:
        with self._records.edit(KIND, record.name) as draft:
            if status is TuningJobStatus.STOPPED or draft.status == TuningJobStatus.IN_PROGRESS:
                draft.state["ended_at"] = self._clock.now()
                set_status(draft, status)
        self.wake(record.name)  # a stop may have come meanwhile

    # The record

    def _keep(self, record: Record, trials: list[Trial]) -> Record:
        with self._records.edit(KIND, record.name) as draft:
            draft.state["trials"] = dump(trials)
        return self._records.get(KIND, record.name)

    def _note(self, record: Record, **changes: str) -> Record:
        with self._records.edit(KIND, record.name) as draft:
            draft.state.update({key: shorten(value) for key, value in changes.items()})
        return self._records.get(KIND, record.name)

    def _objective(self, record: Record, trial: Trial) -> dict[str, str]:
        return objective_of(record.request, definitions_of(record.request)[trial.definition])

    def _next_look(self, record: Record) -> float | None:
        limits = record.request["HyperParameterTuningJobConfig"]["ResourceLimits"]
        looks = []
        if "MaxRuntimeInSeconds" in limits:
            looks.append(record.created_at + float(limits["MaxRuntimeInSeconds"]))
        if is_watching(record):
            looks.append(self._clock.now() + WATCH_S)
        return min(looks, default=None)
