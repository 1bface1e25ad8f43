"""What the SDK has and the engine does not serve yet: the engine's own words come through."""

import pytest
from botocore.exceptions import ClientError

from intermodal import LocalSession
from intermodal.estimator import Estimator
from intermodal.tuner import HyperparameterTuner, IntegerParameter
from tests.helpers.engine import RunningEngine
from tests.helpers.script_mode import ROLE, TRAINING_IMAGE

pytestmark = pytest.mark.e2e


def test_tuning_is_named(engine: RunningEngine) -> None:
    session = LocalSession(engine.home)
    estimator = Estimator(TRAINING_IMAGE, ROLE, 1, "ml.m5.large", sagemaker_session=session)
    tuner = HyperparameterTuner(estimator, "loss", {"a": IntegerParameter(1, 2)})

    with pytest.raises(ClientError, match="CreateHyperParameterTuningJob"):
        tuner.fit()
