"""A disk that is full at every single change: each step of the workload meets it everywhere."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import ClientError

from tests.helpers.object_store import fast_folder
from tests.helpers.router import until
from tests.helpers.script_mode import BUCKET
from tests.storage.subject import Subject, clients
from tests.storage.tape import Recorder
from tests.storage.world import (
    Clients,
    Step,
    begin_job,
    difference,
    has_ended,
    read,
    settled,
    steps,
)

_SAID = "no space is left"


class FullDisk:
    """Engines whose disk is full at change after change.

    Args:
        for_good: the disk stays full until a step has ended; else one change fails.

    Attributes:
        counts: how often a step was refused, and how often it was done all the same.
    """

    def __init__(self, *, for_good: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._count = None if for_good else 1
        self._next: Counter[int] = Counter()

    def run(self) -> None:
        """Has every step meet a full disk at its first change, its second, and so on.

        A step that is done all the same cannot be done once more: an engine of its own has the
        next try.

        Raises:
            AssertionError: a refused step left something, or was refused in other words.
        """
        while not self._run():
            pass

    def _run(self) -> bool:
        """One engine; says whether all steps have met it everywhere."""
        with _engine() as (on, recorder):
            ended = [self._step(*one, on, recorder) for one in enumerate(steps())]
        return all(ended)

    def _step(self, number: int, step: Step, on: Clients, recorder: Recorder) -> bool:
        """Goes on with a step until it is done; says whether nothing failed that time."""
        before = read(on)
        while True:
            after, failed = self._next[number], recorder.failed
            self._next[number] += 1
            recorder.fail(after, self._count)
            refusal = _refusal(step, on)
            recorder.relent()
            has_failed = recorder.failed > failed
            found = read(on)
            if refusal is None:
                self.counts["done all the same"] += has_failed
                assert found != before, f"step {number} did nothing"
                return not has_failed
            self.counts["refused"] += 1
            where = f"step {number}, change {after}"
            assert has_failed, f"{where}: {refusal}"
            assert _SAID in str(refusal), f"{where}: {refusal}"
            assert found == before, f"{where}: {difference(found, before)}"

    def run_jobs(self, every: int) -> None:
        """The same for training jobs, which are told by what becomes of them.

        Args:
            every: meets it at each so many-th change only.

        Raises:
            AssertionError: one is open for ever, or failed for another reason, or has no model.
        """
        with _engine() as (on, recorder):
            on.s3.create_bucket(Bucket=BUCKET)
            for after in range(0, 10_000, every):
                name, failed = f"job-{after}", recorder.failed
                recorder.fail(after, self._count)
                refusal = _refusal(begin_job(name), on)
                if refusal is None:
                    until(lambda: recorder.failed > failed or has_ended(on, name))  # noqa: B023 - it is called here only
                recorder.relent()
                self._judge(name, refusal, on)
                if recorder.failed == failed:
                    return

    def _judge(self, name: str, refusal: ClientError | None, on: Clients) -> None:
        names = {
            one["TrainingJobName"]
            for one in on.sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
        }
        if refusal is not None:
            self.counts["job refused"] += 1
            assert _SAID in str(refusal), refusal
            assert name not in names
            return
        job = settled(on, name)
        self.counts[f"job {job['TrainingJobStatus']}"] += 1
        models = on.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"output/{name}/")["KeyCount"]
        if job["TrainingJobStatus"] == "Completed":
            assert models == 1, name
        else:
            assert _SAID in job["FailureReason"], job["FailureReason"]
            assert models == 0, name


@contextmanager
def _engine() -> Iterator[tuple[Clients, Recorder]]:
    """A recorded engine; what it said is told with what went wrong."""
    with fast_folder() as top:
        recorder = Recorder(top / "home", top)
        subject = Subject(top / "home", top / "output", recorder)
        try:
            yield clients(top / "home", subject.wait()["port"]), recorder
        except AssertionError as error:
            raise AssertionError(f"{error}\n{subject.said[-3000:]}") from error
        finally:
            subject.kill()


def _refusal(step: Step, on: Clients) -> ClientError | None:
    """How a step was refused; None if it was done."""
    try:
        step(on)
    except ClientError as error:
        return error
    return None
