"""Where the reports on a model lie, as a model package has them."""

from typing import Any


class MetricsSource:
    """A report in S3.

    Args:
        content_type: as in `application/json`.
        s3_uri: where it lies.
        content_digest: of its content.
    """

    def __init__(self, content_type: str, s3_uri: str, content_digest: str | None = None) -> None:
        self.content_type = content_type
        self.s3_uri = s3_uri
        self.content_digest = content_digest

    def request(self) -> dict[str, Any]:
        """As CreateModelPackage takes it."""
        return given(
            ContentType=self.content_type, S3Uri=self.s3_uri, ContentDigest=self.content_digest
        )


class FileSource:
    """A file in S3.

    Args:
        s3_uri: where it lies.
        content_digest: of its content.
        content_type: as in `application/json`.
    """

    def __init__(
        self, s3_uri: str, content_digest: str | None = None, content_type: str | None = None
    ) -> None:
        self.s3_uri = s3_uri
        self.content_digest = content_digest
        self.content_type = content_type

    def request(self) -> dict[str, Any]:
        """As CreateModelPackage takes it."""
        return given(
            S3Uri=self.s3_uri, ContentDigest=self.content_digest, ContentType=self.content_type
        )


class ModelMetrics:
    """The reports on a model's quality, data, bias and explainability.

    Args:
        model_statistics: of the model's quality.
        model_constraints: on it.
        model_data_statistics: of the data's quality.
        model_data_constraints: on it.
        bias: the report.
        explainability: the report.
        bias_pre_training: the report before the training.
        bias_post_training: the report after it.
    """

    def __init__(
        self,
        model_statistics: MetricsSource | None = None,
        model_constraints: MetricsSource | None = None,
        model_data_statistics: MetricsSource | None = None,
        model_data_constraints: MetricsSource | None = None,
        bias: MetricsSource | None = None,
        explainability: MetricsSource | None = None,
        bias_pre_training: MetricsSource | None = None,
        bias_post_training: MetricsSource | None = None,
    ) -> None:
        self.model_statistics = model_statistics
        self.model_constraints = model_constraints
        self.model_data_statistics = model_data_statistics
        self.model_data_constraints = model_data_constraints
        self.bias = bias
        self.explainability = explainability
        self.bias_pre_training = bias_pre_training
        self.bias_post_training = bias_post_training

    def request(self) -> dict[str, Any]:
        """As CreateModelPackage takes it."""
        return {
            **quality(self),
            "Bias": sources(
                Report=self.bias,
                PreTrainingReport=self.bias_pre_training,
                PostTrainingReport=self.bias_post_training,
            ),
            "Explainability": sources(Report=self.explainability),
        }


def quality(reports: Any) -> dict[str, Any]:
    """What metrics and baselines have alike: the quality of model and data, where there is any."""
    parts = {
        "ModelQuality": sources(
            Statistics=reports.model_statistics, Constraints=reports.model_constraints
        ),
        "ModelDataQuality": sources(
            Statistics=reports.model_data_statistics, Constraints=reports.model_data_constraints
        ),
    }
    return {name: part for name, part in parts.items() if part}


def sources(**named: MetricsSource | FileSource | None) -> dict[str, Any]:
    """Those that are given, as CreateModelPackage takes them."""
    return {name: source.request() for name, source in named.items() if source is not None}


def given(**members: Any) -> dict[str, Any]:
    """Those that are not `None`."""
    return {name: value for name, value in members.items() if value is not None}
