"""What the SDK has and the engine does not serve yet: the engine's own words come through."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from intermodal import LocalSession
from intermodal.estimator import Estimator
from intermodal.model import Model
from intermodal.tuner import HyperparameterTuner, IntegerParameter
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import BUCKET, INFERENCE_IMAGE, ROLE, TRAINING_IMAGE, tar_gz

pytestmark = pytest.mark.e2e


def test_batch_transform_is_named(engine: RunningEngine, clients: dict[str, Any]) -> None:
    clients["s3"].put_object(Bucket=BUCKET, Key="model.tar.gz", Body=tar_gz({"a": "b"}))
    session = LocalSession(engine.home)
    model = Model(INFERENCE_IMAGE, f"s3://{BUCKET}/model.tar.gz", ROLE, sagemaker_session=session)
    transformer = model.transformer(1, "ml.m5.large", output_path=f"s3://{BUCKET}/out")

    with pytest.raises(ClientError, match="CreateTransformJob"):
        transformer.transform(f"s3://{BUCKET}/in")


def test_tuning_is_named(engine: RunningEngine) -> None:
    session = LocalSession(engine.home)
    estimator = Estimator(TRAINING_IMAGE, ROLE, 1, "ml.m5.large", sagemaker_session=session)
    tuner = HyperparameterTuner(estimator, "loss", {"a": IntegerParameter(1, 2)})

    with pytest.raises(ClientError, match="CreateHyperParameterTuningJob"):
        tuner.fit()
