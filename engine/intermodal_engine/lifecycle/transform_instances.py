"""The instances of a transform job: specs, their shares of the objects, and what came of them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from intermodal_engine import folders
from intermodal_engine.drivers.base import InstanceSpec, Mount, MountMode
from intermodal_engine.lifecycle.attempt import Attempt, Member
from intermodal_engine.lifecycle.captures.manifests import Manifest
from intermodal_engine.lifecycle.captures.manifests import write as write_manifest
from intermodal_engine.lifecycle.job_specs import JobSpecs, OutputLostError
from intermodal_engine.lifecycle.model_files import ModelDataError, ModelStore
from intermodal_engine.lifecycle.staging import DataMissingError, Input
from intermodal_engine.lifecycle.staging.selection import Item, select
from intermodal_engine.lifecycle.transform import plan as plans
from intermodal_engine.lifecycle.transform.containers import ContainerRequest, containers
from intermodal_engine.lifecycle.transform.movers import Movers, failure, is_done, settled
from intermodal_engine.lifecycle.transform.plan import ObjectPart, Plan
from intermodal_engine.lifecycle.transform_request import TransformRequest
from intermodal_engine.settings import Settings
from intermodal_engine.store.objects import NoSuchBucketError, ObjectStore

KIND = "transform-job"
LOG_GROUP = "/aws/sagemaker/TransformJobs"
PORT = 8080
_MODEL = "/opt/ml/model"


class TransformInstances:
    """What the instances of transform jobs are made of, and what is moved through them.

    Args:
        specs: what the instances of all jobs have in common.
        models: model files.
        objects: where inputs lie and outputs go.
        movers: who moves the records.
        settings: times.
    """

    def __init__(
        self,
        *,
        specs: JobSpecs,
        models: ModelStore,
        objects: ObjectStore,
        movers: Movers,
        settings: Settings,
    ) -> None:
        self._specs = specs
        self._models = models
        self._objects = objects
        self._movers = movers
        self._settings = settings

    def check(self, request: TransformRequest) -> None:
        """Makes sure that there are objects to transform, and a bucket for what comes of them.

        Raises:
            DataMissingError: there is no object.
            OutputLostError: the output's bucket is not there.
        """
        select(self._objects, Input(request.channel))
        try:
            self._objects.bucket(request.output_uri.bucket)
            if request.capture_uri is not None:
                self._objects.bucket(request.capture_uri.bucket)
        except NoSuchBucketError as error:
            raise _no_bucket(request, error.bucket) from error

    def stage(self, request: TransformRequest, attempt: Attempt) -> int:
        """Fetches the model, and gives every instance its share of the objects.

        Returns:
            How many objects there are.

        Raises:
            DataMissingError: the model cannot be had, or there is no object.
        """
        self._stage_models(request, attempt)
        items = select(self._objects, Input(request.channel))
        count = len(request.hosts)
        for number, host in enumerate(request.hosts):
            moved = self._moved(request, host)
            folders.remove(moved)
            moved.mkdir(parents=True)
            share = [(place, items[place]) for place in range(number, len(items), count)]
            parts = [_part(request, place, item) for place, item in share]
            plans.write_objects(moved, parts)
        return len(items)

    def _stage_models(self, request: TransformRequest, attempt: Attempt) -> None:
        for one in containers(request):
            try:
                model = self._models.fetch(one.container)
            except ModelDataError as error:
                raise DataMissingError(f"ClientError: {error}") from error
            folders.remove(self._specs.folder(request, one.host))
            (self._specs.ml(request, one.host) / "model").mkdir(parents=True)
            mounts = (Mount(model, _MODEL, MountMode.VIEW),) if model else ()
            attempt.set_mounts(one.host, mounts)

    def specs(self, request: TransformRequest, attempt: Attempt) -> list[InstanceSpec]:
        """What runs: a container an instance, or several."""
        return [self._spec(one, attempt) for one in containers(request)]

    def _spec(self, one: ContainerRequest, attempt: Attempt) -> InstanceSpec:
        is_alone = not one.served.name
        network = None if is_alone else f"{KIND}/{one.record.name}/{one.host}"
        mounts = attempt.mounts_of(one.host)
        return replace(
            self._specs.spec(
                one, attempt, one.host, mounts=mounts, max_runtime_s=0.0, network=network
            ),
            log=self._log_file(one, attempt),
            gpus=tuple(attempt.gpus.get(one.instance, ())),
            ports=(PORT,),
            max_runtime_s=None,
            stop_grace_s=self._settings.serving_stop_grace_s,
        )

    def who(self, request: TransformRequest, attempt: Attempt, member: Member) -> tuple[str, Path]:
        """What to call a member, and the file of its log stream."""
        one = next(one for one in containers(request) if one.host == member.host)
        return one.title, self._log_file(one, attempt)

    def _log_file(self, one: ContainerRequest, attempt: Attempt) -> Path:
        """Of a container; what is said of its instance's data has a stream of its own."""
        return self._specs.log_file(one, attempt, one.instance, one.served.name or None)

    def move(self, request: TransformRequest, attempt: Attempt, members: list[Member]) -> None:
        """Has the share of every running instance moved through it.

        Raises:
            StartFailedError: it cannot be.
        """
        addresses = {one.host: one.instance.addresses[PORT] for one in members}
        for host in request.hosts:
            row = [one for one in containers(request) if one.instance == host]
            if any(one.host not in addresses for one in row):
                continue
            log = self._specs.log_file(request, attempt, host, "data-log")
            plan = self._plan(request, attempt, addresses[row[0].host], log)
            if row[0].served.name:
                named = tuple((one.served.name, *addresses[one.host]) for one in row)
                plan = replace(plan, row=named)
            self._movers.ensure(self._moved(request, host), plan)

    def end_moving(self, request: TransformRequest) -> None:
        """Has nothing moved any more."""
        for host in request.hosts:
            self._movers.end(self._moved(request, host))

    def publish(self, request: TransformRequest) -> int:
        """Puts what is whole into S3.

        Returns:
            How many objects it was.

        Raises:
            OutputLostError: the output's bucket is gone.
        """
        count = 0
        for host in request.hosts:
            moved = self._moved(request, host)
            ready = {one.number: one.path for one in settled(moved) if one.kind == "out"}
            if not ready:
                continue
            for part in plans.read_objects(moved):
                if part.number in ready:
                    self._publish(request, part, ready[part.number])
                    count += 1
        return count

    def capture(self, request: TransformRequest, attempt: Attempt) -> None:
        """Lists what was transformed where its `DataCaptureConfig` says; nothing where none does.

        Raises:
            OutputLostError: the bucket for it is gone.
        """
        destination = request.capture_uri
        pairs = [(part.uri, part.key) for part in self._published(request)]
        if destination is None or not pairs:
            return
        output = f"s3://{request.output_uri.bucket}/{request.output_uri.key}"
        keys = [key.removeprefix(request.output_uri.key) for _, key in pairs]
        names = [name.removesuffix(".out") for name in keys]
        source = pairs[0][0].removesuffix(names[0])
        for manifest in (Manifest("input", source, names), Manifest("output", output, keys)):
            try:
                write_manifest(
                    self._objects,
                    destination,
                    request.record.name,
                    attempt.started_at or attempt.began_at,
                    manifest,
                )
            except NoSuchBucketError as error:
                raise _no_bucket(request, error.bucket) from error

    def trouble(self, request: TransformRequest) -> str | None:
        """Why an instance's share cannot be moved at all; None if it can."""
        found = (failure(self._moved(request, host)) for host in request.hosts)
        return next((one for one in found if one is not None), None)

    def is_done(self, request: TransformRequest) -> bool:
        """Whether all shares were moved."""
        return all(is_done(self._moved(request, host)) for host in request.hosts)

    def failures(self, request: TransformRequest) -> Iterator[str]:
        """Why objects could not be transformed, in the objects' order."""
        found = [
            one
            for host in request.hosts
            for one in settled(self._moved(request, host))
            if one.kind == "failed"
        ]
        for one in sorted(found, key=lambda each: each.number):
            yield one.path.read_text(encoding="utf-8", errors="replace")

    def _publish(self, request: TransformRequest, part: ObjectPart, path: Path) -> None:
        bucket = request.output_uri.bucket
        try:
            self._objects.put_file(
                bucket, part.key, path, content_type=request.output.get("Accept")
            )
        except NoSuchBucketError as error:
            raise _no_bucket(request, error.bucket) from error
        path.with_suffix(".published").touch()

    def _published(self, request: TransformRequest) -> list[ObjectPart]:
        """What is in S3, in the objects' order."""
        found: list[ObjectPart] = []
        for host in request.hosts:
            moved = self._moved(request, host)
            if moved.exists():
                numbers = {one.number for one in settled(moved) if one.kind == "published"}
                found += [part for part in plans.read_objects(moved) if part.number in numbers]
        return sorted(found, key=lambda part: part.number)

    def _moved(self, request: TransformRequest, host: str) -> Path:
        return self._specs.folder(request, host) / plans.FOLDER

    def _plan(
        self, request: TransformRequest, attempt: Attempt, address: tuple[str, int], log: Path
    ) -> Plan:
        wanted, processing = request.record.request, request.record.request["DataProcessing"]
        return Plan(
            host=address[0],
            port=address[1],
            log=str(log),
            health_timeout_s=self._settings.health_timeout_s,
            content_type=request.input.get("ContentType"),
            accept=request.output.get("Accept"),
            is_gzip=request.input["CompressionType"] == "Gzip",
            split_type=request.input["SplitType"],
            strategy=wanted.get("BatchStrategy"),
            max_payload_mb=wanted.get("MaxPayloadInMB"),
            concurrency=wanted.get("MaxConcurrentTransforms"),
            assemble_with=request.output["AssembleWith"],
            input_filter=processing["InputFilter"],
            output_filter=processing["OutputFilter"],
            join_source=processing["JoinSource"],
            timeout_s=request.patience.timeout_s,
            retries=request.patience.retries,
            inference_time=_second(attempt.started_at) if request.has_inference_ids else None,
        )


def _part(request: TransformRequest, number: int, item: Item) -> ObjectPart:
    status = item.path.stat()
    return ObjectPart(
        number,
        str(item.path),
        str(item.uri),
        status.st_size,
        status.st_mtime_ns,
        status.st_ino,
        f"{request.output_uri.key}{item.name}.out",
    )


def _no_bucket(request: TransformRequest, bucket: str) -> OutputLostError:
    is_output = bucket == request.output_uri.bucket
    member = "S3OutputPath" if is_output else "DestinationS3Uri` of `DataCaptureConfig"
    return OutputLostError(
        f"output upload failed: the bucket `{bucket}` of `{member}` does not exist"
    )


def _second(at: float | None) -> str:
    """A time as outputs and captures have it, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
