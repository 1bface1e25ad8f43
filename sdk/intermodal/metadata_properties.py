"""Where a model of the registry comes from."""

from typing import Any

from intermodal.model_metrics import given


class MetadataProperties:
    """The commit and the project that made a model.

    Args:
        commit_id: the commit.
        repository: the commit's repository.
        generated_by: what made it.
        project_id: the project.
    """

    def __init__(
        self,
        commit_id: str | None = None,
        repository: str | None = None,
        generated_by: str | None = None,
        project_id: str | None = None,
    ) -> None:
        self.commit_id = commit_id
        self.repository = repository
        self.generated_by = generated_by
        self.project_id = project_id

    def request(self) -> dict[str, Any]:
        """As CreateModelPackage takes it."""
        return given(
            CommitId=self.commit_id,
            Repository=self.repository,
            GeneratedBy=self.generated_by,
            ProjectId=self.project_id,
        )
