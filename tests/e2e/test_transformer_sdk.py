"""The SDK's transformer against an engine without batch transform."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from intermodal import LocalSession
from intermodal.model import Model
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET, INFERENCE_IMAGE, ROLE, tar_gz

pytestmark = pytest.mark.e2e


def test_what_the_engine_does_not_serve_yet_is_named(
    engine: RunningEngine, clients: dict[str, Any]
) -> None:
    clients["s3"].put_object(Bucket=BUCKET, Key="model.tar.gz", Body=tar_gz({"a": "b"}))
    session = LocalSession(engine.home)
    model = Model(INFERENCE_IMAGE, f"s3://{BUCKET}/model.tar.gz", ROLE, sagemaker_session=session)
    transformer = model.transformer(1, "ml.m5.large", output_path=f"s3://{BUCKET}/out")

    with pytest.raises(ClientError, match="CreateTransformJob"):
        transformer.transform(f"s3://{BUCKET}/in")
