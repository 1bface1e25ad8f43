"""The stand-in's model registry, as far as the SDK asks it."""

from typing import Any

_ARN = "arn:aws:sagemaker:us-west-2:123456789012"


class FakePackages:
    """Answers about groups and packages; what is registered waits for approval."""

    def __init__(self) -> None:
        self.groups: list[str] = []
        self.approval = "PendingManualApproval"

    def _list_model_package_groups(self, request: dict[str, Any]) -> dict[str, Any]:
        found = [{"ModelPackageGroupName": name} for name in self.groups]
        return {"ModelPackageGroupSummaryList": found}

    def _create_model_package_group(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["ModelPackageGroupName"]
        self.groups.append(name)
        return {"ModelPackageGroupArn": f"{_ARN}:model-package-group/{name}"}

    def _create_model_package(self, request: dict[str, Any]) -> dict[str, Any]:
        group = request.get("ModelPackageGroupName")
        name = f"{group}/1" if group else request["ModelPackageName"]
        return {"ModelPackageArn": f"{_ARN}:model-package/{name}"}

    def _describe_model_package(self, request: dict[str, Any]) -> dict[str, Any]:
        return {
            "ModelPackageArn": request["ModelPackageName"],
            "ModelApprovalStatus": self.approval,
            "InferenceSpecification": {"Containers": [{"Image": "i"}]},
        }

    def _update_model_package(self, request: dict[str, Any]) -> dict[str, Any]:
        if "ModelApprovalStatus" in request:
            self.approval = request["ModelApprovalStatus"]
        return {"ModelPackageArn": request["ModelPackageArn"]}
