"""Transform jobs on a fake driver, with movers whose work is a test's word."""

from pathlib import Path
from typing import Any

from intermodal_engine.drivers.fake import Outcome
from intermodal_engine.lifecycle.transform.plan import Plan, read_objects
from tests.helpers.lifecycle import ROLE, World

RUNS = Outcome(after_s=None)


class FakeMovers:
    """Movers whose work is a test's word."""

    def __init__(self) -> None:
        self.plans: dict[Path, Plan] = {}
        self.ended: list[Path] = []

    def ensure(self, folder: Path, plan: Plan) -> None:
        self.plans.setdefault(folder, plan)

    def end(self, folder: Path) -> None:
        self.ended.append(folder)

    def moves(self, folder: Path, *, failed: tuple[int, ...] = ()) -> None:
        """Settles the whole share of an instance."""
        for part in read_objects(folder):
            kind = "failed" if part.number in failed else "out"
            text = f"ClientError: {part.uri}, byte 7: bad" if kind == "failed" else part.uri
            (folder / f"{part.number}.{kind}").write_text(text)
        (folder / "done").touch()


def opened(world: World) -> World:
    """With data, a bucket for results, and a model."""
    objects = world.backends.objects
    for bucket in ("data", "results"):
        objects.create_bucket(bucket)
    for number in range(3):
        objects.put_bytes("data", f"in/{number}.csv", b"1,2\n")
    container = {"Image": "img:1", "Environment": {"A": "model", "B": "model"}}
    world.call("CreateModel", ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    world.driver.script("*", RUNS)
    return world


def create(world: World, name: str = "job-1", **changes: Any) -> None:
    """A job over these objects."""
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://data/in/"}
    parts: dict[str, dict[str, Any]] = {
        "TransformInput": {"DataSource": {"S3DataSource": source}, "SplitType": "Line"},
        "TransformOutput": {"S3OutputPath": "s3://results/out"},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    }
    own = {key: {**part, **changes.pop(key, {})} for key, part in parts.items()}
    request = {"TransformJobName": name, "ModelName": "m", **own, **changes}
    world.call("CreateTransformJob", **request)
    world.settle()


def describe(world: World, name: str = "job-1") -> dict[str, Any]:
    """DescribeTransformJob."""
    return world.call("DescribeTransformJob", TransformJobName=name)
