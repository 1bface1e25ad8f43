"""A mixed workload on an engine that is killed meanwhile: what was acknowledged must be there.

Each part does one thing after the other in a thread of its own, and notes what the engine has
acknowledged. What fails while the engine is dead was not acknowledged, and may be there or not.
"""

import hashlib
import random
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any
from urllib.parse import urlparse

from botocore.exceptions import BotoCoreError, ClientError

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import (
    BUCKET,
    INFERENCE_IMAGE,
    ROLE,
    invoke,
    job_request,
    log_lines,
    settled_endpoint,
    store_model,
)
from tests.helpers.transform import create_summing_model, outputs, transform_request

PATIENCE_S = 120.0
RESULTS = "results"
SCRIPT = """
import os, pathlib, time
print("run", os.getpid(), flush=True)
time.sleep(0.4)
pathlib.Path(os.environ["SM_MODEL_DIR"], "weights.txt").write_text("whole")
"""
MIB = 1 << 20


class Part(ABC):
    """One kind of work.

    Args:
        engine: that is killed.
        seed: of this part's choices.
    """

    services: tuple[str, ...] = ("s3",)

    def __init__(self, engine: RunningEngine, seed: int) -> None:
        self.engine = engine
        self.random = random.Random(seed)
        self.clients = {name: engine.client(name) for name in self.services}
        self.number = 0

    def prepare(self) -> None:
        """Makes what is there before the first kill."""
        self.number = 0

    @abstractmethod
    def step(self) -> None:
        """Does one thing, and notes it once it is acknowledged; may fail as clients do."""

    @abstractmethod
    def check(self) -> int:
        """Makes sure that all that was acknowledged is there; returns how much that is."""

    def next_name(self, word: str) -> str:
        """A name that no other step has."""
        self.number += 1
        return f"{word}-{self.number}"


class Objects(Part):
    """Puts, replaces and deletes objects, whole and in parts."""

    def __init__(self, engine: RunningEngine, seed: int) -> None:
        super().__init__(engine, seed)
        self.kept: dict[str, set[str]] = {}
        """Digests that each key may have; the empty one stands for no object."""

    def step(self) -> None:
        key = f"objects/{self.random.randrange(40)}"
        before = self.kept.get(key, {""})
        if self.random.random() < 0.2:
            self.kept[key] = before | {""}
            self.clients["s3"].delete_object(Bucket=BUCKET, Key=key)
            self.kept[key] = {""}
            return
        is_long = self.random.random() < 0.1
        body = self.random.randbytes(6 * MIB if is_long else self.random.randrange(200_000))
        digest = hashlib.sha256(body).hexdigest()
        self.kept[key] = before | {digest}  # perhaps it is there, perhaps the one before
        if is_long:
            self._put_parts(key, body)
        else:
            self.clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=body)
        self.kept[key] = {digest}

    def check(self) -> int:
        for key, digests in self.kept.items():
            try:
                body = self.clients["s3"].get_object(Bucket=BUCKET, Key=key)["Body"].read()
                found = hashlib.sha256(body).hexdigest()
            except self.clients["s3"].exceptions.NoSuchKey:
                found = ""
            assert found in digests, (key, found, digests)
        return len(self.kept)

    def _put_parts(self, key: str, body: bytes) -> None:
        s3, place = self.clients["s3"], {"Bucket": BUCKET, "Key": key}
        upload = s3.create_multipart_upload(**place)["UploadId"]
        parts = []
        for number, start in enumerate(range(0, len(body), 5 * MIB), start=1):
            piece = body[start : start + 5 * MIB]
            etag = s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=piece)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
        s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})


class TrainingJobs(Part):
    """Trains one job after the other."""

    services = ("s3", "sagemaker", "logs")

    def __init__(self, engine: RunningEngine, seed: int) -> None:
        super().__init__(engine, seed)
        self.names: list[str] = []

    def step(self) -> None:
        name = self.next_name("job")
        request = job_request(name, SCRIPT, self.clients["s3"])
        self.clients["sagemaker"].create_training_job(**request)
        self.names.append(name)
        ended(self._status, name)

    def check(self) -> int:
        for name in self.names:
            status = ended(self._status, name)
            job = self.clients["sagemaker"].describe_training_job(TrainingJobName=name)
            assert status == "Completed", (name, status, job.get("FailureReason"))
            runs = [one for one in log_lines(self.clients["logs"], name) if one.startswith("run ")]
            assert len(runs) == 1, (name, runs)
            ends = [one["Status"] for one in job["SecondaryStatusTransitions"]]
            assert ends.count("Completed") == 1, (name, ends)
            place = urlparse(job["ModelArtifacts"]["S3ModelArtifacts"])
            self.clients["s3"].head_object(Bucket=place.netloc, Key=place.path[1:])
        return len(self.names)

    def _status(self, name: str) -> str:
        job = self.clients["sagemaker"].describe_training_job(TrainingJobName=name)
        return str(job["TrainingJobStatus"])


class TransformJobs(Part):
    """Transforms a few objects, again and again."""

    services = ("s3", "sagemaker")

    def __init__(self, engine: RunningEngine, seed: int) -> None:
        super().__init__(engine, seed)
        self.names: list[str] = []

    def prepare(self) -> None:
        create_summing_model(self.clients)
        for number in range(3):
            key = f"in/{number}.csv"
            self.clients["s3"].put_object(Bucket=BUCKET, Key=key, Body=f"{number},1\n" * 20)

    def step(self) -> None:
        name = self.next_name("transform")
        self.clients["sagemaker"].create_transform_job(**transform_request(name, "in/"))
        self.names.append(name)
        ended(self._status, name)

    def check(self) -> int:
        for name in self.names:
            status = ended(self._status, name)
            assert status == "Completed", (name, self._describe(name).get("FailureReason"))
            sums = {f"{one}.csv.out": f"{2 * one + 2}\n" * 20 for one in range(3)}
            assert outputs(self.clients["s3"], name) == sums, name
        return len(self.names)

    def _describe(self, name: str) -> dict[str, Any]:
        found = self.clients["sagemaker"].describe_transform_job(TransformJobName=name)
        return dict(found)

    def _status(self, name: str) -> str:
        return str(self._describe(name)["TransformJobStatus"])


class Invocations(Part):
    """Asks an endpoint of two instances."""

    services = ("s3", "sagemaker", "sagemaker-runtime")
    name = "asked"

    def __init__(self, engine: RunningEngine, seed: int) -> None:
        super().__init__(engine, seed)
        self.answers = 0

    def prepare(self) -> None:
        create_endpoint(self, self.name, 2)

    def step(self) -> None:
        text = str(self.random.random())
        assert invoke(self.clients["sagemaker-runtime"], self.name, text) == f"{text} 3.14"
        self.answers += 1

    def check(self) -> int:
        described = settled_endpoint(self.clients["sagemaker"], self.name)
        assert described["EndpointStatus"] == "InService", described
        assert invoke(self.clients["sagemaker-runtime"], self.name, "x") == "x 3.14"
        return self.answers


class AsyncInvocations(Part):
    """Asks an asynchronous endpoint, and looks for all results at the end."""

    services = ("s3", "sagemaker", "sagemaker-runtime")
    name = "asked-later"

    def __init__(self, engine: RunningEngine, seed: int) -> None:
        super().__init__(engine, seed)
        self.places: dict[str, str] = {}

    def prepare(self) -> None:
        output = {"S3OutputPath": f"s3://{BUCKET}/{RESULTS}"}
        create_endpoint(self, self.name, 1, AsyncInferenceConfig={"OutputConfig": output})

    def step(self) -> None:
        text = self.next_name("later")
        accepted = self.clients["sagemaker-runtime"].invoke_endpoint_async(
            EndpointName=self.name, Body=text, ContentType="text/plain"
        )
        self.places[text] = accepted["OutputLocation"]
        time.sleep(0.05)

    def check(self) -> int:
        for text, uri in self.places.items():
            assert ended(self._answer, uri) == f"{text} 3.14", uri
        return len(self.places)

    def _answer(self, uri: str) -> str:
        place = urlparse(uri)
        try:
            found = self.clients["s3"].get_object(Bucket=place.netloc, Key=place.path[1:])
        except self.clients["s3"].exceptions.NoSuchKey:
            return "InProgress"
        return str(found["Body"].read().decode())


PARTS: tuple[type[Part], ...] = (
    Objects,
    TrainingJobs,
    TransformJobs,
    Invocations,
    AsyncInvocations,
)


class Workload:
    """All parts at work.

    Args:
        engine: that is killed.
        seed: of all choices.
    """

    def __init__(self, engine: RunningEngine, seed: int) -> None:
        engine.client("s3").create_bucket(Bucket=BUCKET)
        self.parts = [kind(engine, seed + number) for number, kind in enumerate(PARTS)]
        for part in self.parts:
            part.prepare()
        self._failures: list[str] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(part,)) for part in self.parts]

    def begin(self) -> None:
        """Begins to work."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ends when each part has done what it was at."""
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def check(self) -> dict[str, int]:
        """What was acknowledged, by part; all of it is there."""
        assert not self._failures, "\n".join(self._failures)
        return {type(part).__name__: part.check() for part in self.parts}

    def _run(self, part: Part) -> None:
        while not self._ended.is_set():
            try:
                part.step()
            except (BotoCoreError, ClientError):
                self._ended.wait(0.05)
            except Exception:  # noqa: BLE001 - told by `check`, in the test's own thread
                self._failures.append(traceback.format_exc())
                return


def create_endpoint(part: Part, name: str, count: int, **changes: Any) -> None:
    """An endpoint in service that answers what it was asked, and 3.14."""
    sagemaker = part.clients["sagemaker"]
    container = {
        "Image": INFERENCE_IMAGE,
        "ModelDataUrl": store_model(part.clients["s3"], name),
    }
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": count,
    }
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant], **changes
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert settled_endpoint(sagemaker, name)["EndpointStatus"] == "InService"


def ended(status: Callable[[str], str], name: str) -> str:
    """The status of something that is under way no more; a dead engine is waited for."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = status(name)
            if found not in ("InProgress", "Stopping"):
                return found
        except (BotoCoreError, ClientError):
            found = "unknown"
        assert time.monotonic() < deadline, (name, found)
        time.sleep(0.05)
