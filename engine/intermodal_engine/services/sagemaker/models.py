"""Models: a container, its environment and its data, under a name."""

from typing import Any

from intermodal_engine.lifecycle.model_files import is_multi_model
from intermodal_engine.services.answers import not_served, when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.sagemaker.model_containers import check_containers, served
from intermodal_engine.services.sagemaker.model_data import check_data
from intermodal_engine.services.sagemaker.packaged_models import unpacked
from intermodal_engine.services.sagemaker.resources import (
    arn,
    check_program,
    copy_members,
    invalid,
    list_page,
    tags_of,
)
from intermodal_engine.store.records import Record, RecordExistsError, RecordNotFoundError

KIND = "model"


def create_model(call: Call, parameters: Parameters) -> Parameters:
    """Stores a model. Its data is looked at when an endpoint needs it, as on AWS."""
    _check_form(parameters)
    definition = unpacked(call, parameters)
    _check(definition)
    name = parameters["ModelName"]
    model_arn = arn(call, KIND, name)
    try:
        call.backends.records.insert(
            KIND,
            name,
            arn=model_arn,
            request=parameters,
            state={} if definition is parameters else {"definition": definition},
            tags=tags_of(parameters),
        )
    except RecordExistsError as error:
        raise invalid(f'Cannot create already existing model "{model_arn}".') from error
    return {"ModelArn": model_arn}


def describe_model(call: Call, parameters: Parameters) -> Parameters:
    """A model as it was created."""
    record = find_model(call, parameters["ModelName"])
    return {
        **copy_members(
            record.request,
            "ModelName",
            "PrimaryContainer",
            "Containers",
            "InferenceExecutionConfig",
            "ExecutionRoleArn",
            "VpcConfig",
        ),
        "EnableNetworkIsolation": record.request.get("EnableNetworkIsolation", False),
        "CreationTime": when(record.created_at),
        "ModelArn": record.arn,
    }


def delete_model(call: Call, parameters: Parameters) -> Parameters:
    """Deletes a model; endpoints that serve it go on."""
    find_model(call, parameters["ModelName"])
    call.backends.records.delete(KIND, parameters["ModelName"])
    return {}


def list_models(call: Call, parameters: Parameters) -> Parameters:
    """Models, newest first unless asked otherwise."""
    return list_page(call, KIND, parameters, "Models", _summary)


OPERATIONS: dict[str, Operation] = {
    "CreateModel": create_model,
    "DescribeModel": describe_model,
    "DeleteModel": delete_model,
    "ListModels": list_models,
}


def find_model(call: Call, name: str) -> Record:
    """A model's record.

    Raises:
        ServiceError: there is none.
    """
    try:
        return call.backends.records.get(KIND, name)
    except RecordNotFoundError as error:
        raise invalid(f'Could not find model "{arn(call, KIND, name)}".') from error


def containers_of(model: Record) -> dict[str, Any]:
    """The containers of a model as `lifecycle.served` has them, copied."""
    return served(model.state.get("definition", model.request))


def container_of(model: Record) -> dict[str, Any]:
    """The one container of a model.

    Raises:
        ServiceError: it has several.
    """
    found = containers_of(model)
    if "containers" in found:
        raise invalid(f'Model "{model.arn}" has several containers, where one is needed')
    container: dict[str, Any] = found["container"]
    return container


def _check_form(parameters: Parameters) -> None:
    if ("PrimaryContainer" in parameters) == bool(parameters.get("Containers")):
        raise invalid("You must specify exactly one of `PrimaryContainer` and `Containers`")


def _check(parameters: Parameters) -> None:
    check_containers(parameters)
    for container in parameters.get("Containers") or [parameters["PrimaryContainer"]]:
        _check_container(container)


def _check_container(container: dict[str, Any]) -> None:
    if "Image" not in container:
        raise invalid("A container needs `Image` or `ModelPackageName`")
    check_program((), container.get("Environment", {}))
    _check_mode(container)
    check_data(container)


def _check_mode(container: dict[str, Any]) -> None:
    if not is_multi_model(container):
        if "MultiModelConfig" in container:
            raise invalid("`MultiModelConfig` needs `Mode` `MultiModel`")
        return
    if "ModelDataSource" in container:
        raise not_served("`ModelDataSource` with `Mode` `MultiModel`", "give `ModelDataUrl`")
    if "ModelDataUrl" not in container:
        raise invalid(
            "`Mode` `MultiModel` needs `ModelDataUrl`: the S3 prefix below which the archives lie"
        )


def _summary(record: Record) -> Parameters:
    return {
        "ModelName": record.name,
        "ModelArn": record.arn,
        "CreationTime": when(record.created_at),
    }
