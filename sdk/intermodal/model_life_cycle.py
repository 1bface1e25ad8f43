"""How far a version in the registry has come."""

from typing import Any

from intermodal.model_metrics import given


class ModelLifeCycle:
    """The stage of a version, in words of your own.

    Args:
        stage: as in `Staging`.
        stage_status: as in `InProgress`.
        stage_description: more about it.
    """

    def __init__(
        self,
        stage: str | None = None,
        stage_status: str | None = None,
        stage_description: str | None = None,
    ) -> None:
        self.stage = stage
        self.stage_status = stage_status
        self.stage_description = stage_description

    def request(self) -> dict[str, Any]:
        """As CreateModelPackage and UpdateModelPackage take it."""
        return given(
            Stage=self.stage,
            StageStatus=self.stage_status,
            StageDescription=self.stage_description,
        )
