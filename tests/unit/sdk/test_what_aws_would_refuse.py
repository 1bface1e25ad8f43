"""Bad arguments: all of them in one message, before anything is sent."""

from pathlib import Path
from typing import Any

import pytest

import intermodal
from intermodal import Session
from intermodal.errors import InvalidArgumentsError
from intermodal.estimator import Estimator
from intermodal.inputs import TrainingInput
from intermodal.model import Model
from intermodal.mxnet import MXNet
from intermodal.predictor import Predictor
from intermodal.pytorch import PyTorch, PyTorchModel
from tests.helpers.fake_aws import ROLE_ARN, FakeAws


def problems(session: Session, script: Path | str, **changes: Any) -> list[str]:
    arguments: dict[str, Any] = {
        "framework_version": "2.2.0",
        "role": ROLE_ARN,
        "instance_count": 1,
        "instance_type": "ml.m5.large",
        "sagemaker_session": session,
        **changes,
    }
    fit = {name: arguments.pop(name) for name in ("inputs", "job_name") if name in arguments}
    with pytest.raises(InvalidArgumentsError) as raised:
        PyTorch(str(script), **arguments).fit(**fit)
    return list(raised.value.problems)


def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_sent(
    aws: FakeAws, session: Session
) -> None:
    found = problems(
        session,
        "missing.py",
        role=None,
        instance_count=0,
        instance_type="ml.m5.huge",
        max_run="1h",
        job_name="my job",
        hyperparameters={"model": object(), "long": "x" * 3000},
        inputs={"bad name": "s3://b/k", "train": "no/such/folder"},
        environment={"1X": "a", "N": 1},
        metric_definitions=[{"Name": "loss"}],
        output_path="bucket/prefix",
    )

    names = [problem.split("`")[1] for problem in found]
    assert names == [
        "role",
        "job_name",
        "instance_count",
        "instance_type",
        "max_run",
        "output_path",
        "environment",
        "environment",
        "metric_definitions",
        "entry_point",
        "hyperparameters",
        "inputs",
        "inputs",
    ]
    assert aws.calls == []


def test_a_fault_carries_the_name_that_the_user_wrote(session: Session, script: Path) -> None:
    with pytest.warns(DeprecationWarning, match="write `instance_count`"):
        found = problems(session, script, instance_count=None, train_instance_count=-1)

    assert found == ["`train_instance_count`: -1 is below 1"]


def test_an_unknown_instance_type_is_told_once(session: Session, script: Path) -> None:
    with pytest.warns(DeprecationWarning, match="write `instance_type`"):
        found = problems(session, script, instance_type=None, train_instance_type="ml.m5.huge")

    assert len(found) == 1
    assert found[0].startswith("`train_instance_type`: `ml.m5.huge` is no instance type")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"hyperparameters": {f"p{n}": n for n in range(96)}},
            "101 of them with the toolkit",
        ),
        ({"hyperparameters": {"p": "x" * 2499}}, "`p` has 2501 characters; AWS takes 2500"),
        ({"hyperparameters": [1]}, "`hyperparameters`: [1] is a list; give a dictionary"),
        ({"use_spot_instances": True}, "`max_wait`: is missing"),
        ({"max_wait": 100}, "`max_wait`: is for spot instances"),
        (
            {"use_spot_instances": True, "max_wait": 10, "max_run": 20},
            "`max_wait`: 10 is below `max_run`, 20",
        ),
        ({"subnets": ["subnet-1"]}, "`security_group_ids`: is missing"),
        ({"instance_type": None}, "`instance_type`: is missing"),
        ({"instance_type": "m5.large"}, "SageMaker's name is `ml.m5.large`"),
        ({"instance_count": True}, "`instance_count`: True is a bool; give a whole number"),
        ({"instance_type": "ml.trn1.2xlarge"}, "Neuron chips"),
        ({"framework_version": None}, "`framework_version` is missing: which pytorch? As in"),
        ({"framework_version": "two"}, "'two' is no version"),
        ({"source_dir": "nowhere"}, "`source_dir`: there is no folder `nowhere`"),
        ({"dependencies": ["nowhere"]}, "`dependencies`: there is no `nowhere`"),
        ({"inputs": {"train": 7}}, "channel `train` is a int"),
        ({"inputs": {f"c{n}": "s3://b/k" for n in range(21)}}, "21 channels; AWS takes 20"),
        ({"environment": {"A": "x" * 513}}, "`A` is longer than 512 characters"),
    ],
)
def test_each_limit_of_the_service_is_known(
    change: dict[str, Any], told: str, session: Session, script: Path
) -> None:
    assert told in " ".join(problems(session, script, **change))


def test_a_missing_script_names_the_scripts_beside_it(session: Session, script: Path) -> None:
    found = problems(session, script.with_name("tran.py"))

    assert "that folder has `train.py`" in found[0]


def test_a_deployment_is_checked_before_the_model_is_touched(
    aws: FakeAws, session: Session
) -> None:
    model = Model("image", "s3://mybucket/model.tar.gz", ROLE_ARN, sagemaker_session=session)

    with pytest.raises(InvalidArgumentsError) as raised:
        model.deploy(instance_type="ml.nothing", endpoint_name="-x-")

    assert [problem.split("`")[1] for problem in raised.value.problems] == [
        "initial_instance_count",
        "instance_type",
        "endpoint_name",
    ]
    assert aws.calls == []


def test_a_model_with_missing_code_is_refused(aws: FakeAws, session: Session) -> None:
    model = PyTorchModel(
        "s3://mybucket/model.tar.gz",
        ROLE_ARN,
        "nowhere.py",
        framework_version="2.2.0",
        sagemaker_session=session,
    )

    with pytest.raises(InvalidArgumentsError, match=r"there is no file `nowhere\.py`"):
        model.create("ml.m5.large")
    assert "sagemaker.CreateModel" not in aws.operations()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"train_instance_type": "ml.m5.large"}, "instance_type"),
        ({"train_instance_count": 2}, "instance_count"),
        ({"image_name": "i"}, "image_uri"),
        ({"train_max_run": 60}, "max_run"),
        ({"train_use_spot_instances": True}, "use_spot_instances"),
        ({"train_max_wait": 60}, "max_wait"),
        ({"train_volume_size": 5}, "volume_size"),
        ({"train_volume_kms_key": "k"}, "volume_kms_key"),
        ({"distributions": {"mpi": {"enabled": True}}}, "distribution"),
    ],
)
def test_a_name_of_v1_is_taken_with_a_warning_that_shows_the_new_one(
    old: dict[str, Any], new: str
) -> None:
    with pytest.warns(DeprecationWarning, match=f"write `{new}`") as warned:
        estimator = MXNet("train.py", framework_version="1.9.0", **old)

    assert getattr(estimator, new) == next(iter(old.values()))
    assert warned[0].filename == __file__


def test_both_names_of_one_argument_are_refused() -> None:
    with (
        pytest.warns(DeprecationWarning, match="write `instance_type`"),
        pytest.raises(TypeError, match="are the same argument; give `instance_type` only"),
    ):
        Estimator("i", ROLE_ARN, 1, "ml.m5.large", train_instance_type="ml.m5.large")


def test_an_unknown_argument_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(TypeError, match=r"no argument `max_runs` \(did you mean `max_run`\?\)"):
        Estimator("i", ROLE_ARN, 1, "ml.m5.large", max_runs=3)


def test_a_launcher_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="`torchrun` is no way to launch PyTorch"):
        PyTorch("train.py", framework_version="2.2.0", distribution={"torchrun": {}})


def test_the_positional_order_of_v1_is_detected() -> None:
    with pytest.raises(TypeError, match="the image comes first"):
        Model("s3://bucket/model.tar.gz", "image")


def test_classes_of_v1_are_found_under_their_old_names() -> None:
    with pytest.warns(DeprecationWarning, match="write `TrainingInput`"):
        assert intermodal.s3_input is TrainingInput
    with pytest.warns(DeprecationWarning, match="write `Predictor`"):
        assert intermodal.RealTimePredictor is Predictor


def test_v1_names_of_a_predictor_are_taken(session: Session) -> None:
    with pytest.warns(DeprecationWarning, match="`endpoint_name`"):
        assert Predictor(endpoint="e", sagemaker_session=session).endpoint_name == "e"
    with pytest.warns(DeprecationWarning, match="is ignored"):
        Predictor("e", session, content_type="text/csv")


def test_a_model_that_is_not_there_is_told_together_with_what_else_is_wrong(
    session: Session,
) -> None:
    model = Model("image", "file:///no/model.tar.gz", name="a b", sagemaker_session=session)

    with pytest.raises(InvalidArgumentsError) as raised:
        model.create()

    named = [problem.split("`")[1] for problem in raised.value.problems]
    assert named == ["name", "model_data", "role"]
