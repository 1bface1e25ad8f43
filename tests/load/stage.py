"""What the clients find: a bucket, an endpoint that echoes, models, a log group."""

import random

from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET as BUCKET
from tests.helpers.script_mode import (
    INFERENCE_IMAGE,
    ROLE,
    create_endpoint,
    settled_endpoint,
    store_model,
)
from tests.load.wire import Body, Signer

ENDPOINT = "echo"
WEIGHTS = "3.14"
GROUP = "load/clients"
MODELS = [f"model-{number:02}" for number in range(20)]
SHARED_KEY = "shared"
_SHARED_BYTES = 8 << 20


class Stage:
    """Sets an engine up.

    Args:
        engine: a fresh one.
        seed: of the object that all may read.
    """

    def __init__(self, engine: RunningEngine, seed: int) -> None:
        self.engine = engine
        self.signer = Signer(engine)
        self.shared = Body.of(random.Random(seed).randbytes(_SHARED_BYTES))
        s3, sagemaker, logs = (engine.client(name) for name in ("s3", "sagemaker", "logs"))
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=SHARED_KEY, Body=self.shared.data)
        logs.create_log_group(logGroupName=GROUP)
        create_endpoint(sagemaker, ENDPOINT, store_model(s3, ENDPOINT, weights=WEIGHTS), 2)
        for name in MODELS:
            container = {"Image": INFERENCE_IMAGE, "ModelDataUrl": f"s3://{BUCKET}/{name}.tar.gz"}
            sagemaker.create_model(
                ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE
            )
        found = settled_endpoint(sagemaker, ENDPOINT)
        assert found["EndpointStatus"] == "InService", found
