"""What a monitor compares a model of the registry with."""

from typing import Any

from intermodal.model_metrics import FileSource, MetricsSource, quality, sources


class DriftCheckBaselines:
    """Baselines of a model's quality, data, bias and explainability.

    Args:
        model_statistics: of the model's quality.
        model_constraints: on it.
        model_data_statistics: of the data's quality.
        model_data_constraints: on it.
        bias_config_file: how bias is looked for.
        bias_pre_training_constraints: on it before the training.
        bias_post_training_constraints: on it after.
        explainability_constraints: on the explanations.
        explainability_config_file: how they are made.
    """

    def __init__(
        self,
        model_statistics: MetricsSource | None = None,
        model_constraints: MetricsSource | None = None,
        model_data_statistics: MetricsSource | None = None,
        model_data_constraints: MetricsSource | None = None,
        bias_config_file: FileSource | None = None,
        bias_pre_training_constraints: MetricsSource | None = None,
        bias_post_training_constraints: MetricsSource | None = None,
        explainability_constraints: MetricsSource | None = None,
        explainability_config_file: FileSource | None = None,
    ) -> None:
        self.model_statistics = model_statistics
        self.model_constraints = model_constraints
        self.model_data_statistics = model_data_statistics
        self.model_data_constraints = model_data_constraints
        self.bias_config_file = bias_config_file
        self.bias_pre_training_constraints = bias_pre_training_constraints
        self.bias_post_training_constraints = bias_post_training_constraints
        self.explainability_constraints = explainability_constraints
        self.explainability_config_file = explainability_config_file

    def request(self) -> dict[str, Any]:
        """As CreateModelPackage takes it."""
        parts = {
            **quality(self),
            "Bias": sources(
                ConfigFile=self.bias_config_file,
                PreTrainingConstraints=self.bias_pre_training_constraints,
                PostTrainingConstraints=self.bias_post_training_constraints,
            ),
            "Explainability": sources(
                Constraints=self.explainability_constraints,
                ConfigFile=self.explainability_config_file,
            ),
        }
        return {name: part for name, part in parts.items() if part}
