"""Parameters are checked as AWS does, in AWS's words."""

from typing import Any

import pytest

from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.models import SERVICES, load_service
from intermodal_engine.wire.patterns import compile_pattern
from intermodal_engine.wire.route import named
from intermodal_engine.wire.validate import validate

JOB = {
    "TrainingJobName": "job",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::123456789012:role/service",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {
        "InstanceType": "ml.m5.large",
        "InstanceCount": 1,
        "VolumeSizeInGB": 10,
    },
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def message(service: str, operation: str, parameters: dict[str, Any]) -> str:
    with pytest.raises(ServiceError) as caught:
        validate(named(service, operation), parameters)
    assert caught.value.status == 400
    return f"{caught.value.code}: {caught.value.message}"


def job_message(**changes: Any) -> str:
    return message("sagemaker", "CreateTrainingJob", JOB | changes)


def test_a_good_request_passes() -> None:
    validate(named("sagemaker", "CreateTrainingJob"), JOB)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(weight: float) -> None:
    variant = {"VariantName": "v", "InitialVariantWeight": weight}
    said = message(
        "sagemaker",
        "CreateEndpointConfig",
        {"EndpointConfigName": "c", "ProductionVariants": [variant]},
    )
    assert said == (
        f"ValidationException: 1 validation error detected: Value '{weight}' at "
        "'productionVariants.1.member.initialVariantWeight' failed to satisfy constraint: "
        "Member must be a finite number"
    )


def test_a_pattern_that_does_not_match_is_named() -> None:
    assert message("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "my_job"}) == (
        "ValidationException: 1 validation error detected: Value 'my_job' at 'trainingJobName' "
        "failed to satisfy constraint: Member must satisfy regular expression pattern: "
        "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    )


def test_the_whole_value_must_match_and_not_just_its_start() -> None:
    assert "'trainingJobName'" in job_message(TrainingJobName="job\n")


def test_a_missing_member_must_not_be_null_wherever_it_is() -> None:
    parameters = JOB | {"ResourceConfig": {"VolumeSizeInGB": 10}, "RoleArn": None}
    parameters["OutputDataConfig"] = {}
    assert message("sagemaker", "CreateTrainingJob", parameters) == (
        "ValidationException: 2 validation errors detected: Value null at 'roleArn' failed to "
        "satisfy constraint: Member must not be null; Value null at "
        "'outputDataConfig.s3OutputPath' failed to satisfy constraint: Member must not be null"
    )


def test_lengths_and_values_have_bounds() -> None:
    assert "Member must have length less than or equal to 63" in job_message(
        TrainingJobName="j" * 64
    )
    resources = JOB["ResourceConfig"] | {"InstanceCount": -1}  # type: ignore[operator]  # a dict
    assert (
        "Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must "
        "have value greater than or equal to 0"
    ) in job_message(ResourceConfig=resources)


def test_an_enum_lists_what_it_allows() -> None:
    specification = {"TrainingImage": "image", "TrainingInputMode": "Carrier"}
    assert (
        "Value 'Carrier' at 'algorithmSpecification.trainingInputMode' failed to satisfy "
        "constraint: Member must satisfy enum value set: [Pipe, File, FastFile]"
    ) in job_message(AlgorithmSpecification=specification)


def test_elements_of_a_list_are_counted_from_one() -> None:
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/x"}}
    channels = [
        {"ChannelName": "train", "DataSource": source},
        {"ChannelName": "te st", "DataSource": source},
    ]
    assert (
        "Value 'te st' at 'inputDataConfig.2.member.channelName' failed to satisfy constraint"
    ) in job_message(InputDataConfig=channels)


def test_plain_elements_of_lists_and_maps_are_judged_together() -> None:
    assert job_message(HyperParameters={"a": "x" * 2501}).startswith(
        "ValidationException: 1 validation error detected: Value '{a=xxx"
    )
    text = job_message(Environment={"1=": "x"})
    assert (
        "Value '{1==x}' at 'environment' failed to satisfy constraint: Map keys must satisfy "
        "constraint: [Member must have length less than or equal to 512, "
        "Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]"
    ) in text.replace("Member must have length greater than or equal to 0, ", "")
    subnets = {"SecurityGroupIds": ["sg-1", "b d"], "Subnets": ["subnet-1"]}
    assert (
        "Value '[sg-1, b d]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: Member "
        "must satisfy constraint: [Member must have length less than or equal to 32"
    ) in job_message(VpcConfig=subnets)


def test_a_secret_is_not_echoed() -> None:
    passwords = {"OldPassword": "old", "NewPassword": "secret" * 40}
    assert message("iam", "ChangePassword", passwords) == (
        "ValidationError: 1 validation error detected: Value at 'newPassword' failed to satisfy "
        "constraint: Member must have length less than or equal to 128"
    )


def test_a_long_value_is_cut_and_many_faults_are_ten() -> None:
    assert len(job_message(TrainingJobName="j" * 100_000)) < 2000
    channels = [{"ChannelName": "c"}] * 20
    text = job_message(InputDataConfig=channels)
    assert text.startswith("ValidationException: 20 validation errors detected: ")
    assert text.count("failed to satisfy") == 10


def test_tags_may_hold_letters_of_any_language() -> None:
    tags = [{"Key": "équipe", "Value": "機械学習 Ωμέγα ٣"}]
    validate(named("sagemaker", "CreateTrainingJob"), JOB | {"Tags": tags})
    assert "'tags.1.member.key'" in job_message(Tags=[{"Key": "a!b", "Value": ""}])


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("sagemaker", "DescribeTrainingJob", "ValidationException"),
        ("sagemaker-runtime", "InvokeEndpoint", "ValidationError"),
        ("logs", "CreateLogGroup", "InvalidParameterException"),
        ("batch", "SubmitJob", "ClientException"),
        ("iam", "GetRole", "ValidationError"),
        ("application-autoscaling", "RegisterScalableTarget", "ValidationException"),
    ],
)
def test_each_service_has_its_own_code_for_it(service: str, operation: str, code: str) -> None:
    text = message(service, operation, {})
    assert text.startswith(f"{code}: ")
    assert "failed to satisfy constraint: Member must not be null" in text


def test_s3_has_errors_of_its_own() -> None:
    validate(named("s3", "CreateBucket"), {"Bucket": "UPPER case"})
    assert message("s3", "DeleteObjects", {"Bucket": "data"}).startswith("MissingRequestBodyError")
    assert "x-amz-object-attributes" in message(
        "s3", "GetObjectAttributes", {"Bucket": "data", "Key": "a"}
    )


def test_every_pattern_of_the_models_is_checked() -> None:
    services = [load_service(entry.name) for entry in SERVICES]
    patterns = {
        service.shape(name).traits["pattern"]
        for service in services
        for name in service.shape_names
        if "pattern" in service.shape(name).traits
    }
    unchecked = {pattern for pattern in patterns if compile_pattern(pattern) is None}
    assert len(patterns) > 100
    assert unchecked == set()


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", ["", "aé 1_", "中\u3000"], ["!", "a\tb", "\U0001f600"]),
        (r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,128}", ["a b"], ["a!"]),
        (r"\p{ASCII}*", ["a\n~"], ["é"]),
        (r"\P{Alpha}", ["1"], ["a"]),
        (r"[^\p{Alnum}]", ["-"], ["a"]),
        (r"[\w-_]*", ["a-b_c"], ["a.b"]),
        (r"[a-z[0-9]]+", ["a1"], ["A"]),
        (r"[]a]+", ["]a"], ["b"]),
        (r"a\z", ["a"], ["a\n"]),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", ["a\U0001f600"], ["\x01"]),
        (r"a++b", ["aab"], ["b"]),
        (r"[a||b]", ["|", "a"], ["c"]),
    ],
)
def test_a_java_pattern_means_the_same_in_python(
    pattern: str, good: list[str], bad: list[str]
) -> None:
    compiled = compile_pattern(pattern)
    assert compiled is not None
    assert [text for text in good if not compiled.fullmatch(text)] == []
    assert [text for text in bad if compiled.fullmatch(text)] == []


def test_a_pattern_that_python_cannot_express_is_not_checked() -> None:
    assert compile_pattern(r"[\P{L}a]") is None
    assert compile_pattern("[a-z&&[^b]]") is None
    assert compile_pattern("(") is None
