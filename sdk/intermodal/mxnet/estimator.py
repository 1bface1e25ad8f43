"""MXNet: estimator."""

from typing import Any, ClassVar

from intermodal.framework import Framework, VersionedModel
from intermodal.mxnet.model import MXNetModel

_MPI_OPTIONS = "sagemaker_mpi_custom_mpi_options"


class MXNet(Framework):
    """Training in MXNet's image; see `Framework`.

    `distribution={"parameter_server": {"enabled": True}}` starts a parameter server on every host.
    """

    framework: ClassVar[str] = "mxnet"
    metrics_since: ClassVar[tuple[int, ...] | None] = (1, 6)
    model_class: ClassVar[type[VersionedModel]] = MXNetModel

    def launch_hyperparameters(self) -> dict[str, Any]:
        """As all frameworks have it, without options for MPI that nobody gave."""
        launch = super().launch_hyperparameters()
        if not launch.get(_MPI_OPTIONS):
            launch.pop(_MPI_OPTIONS, None)
        return launch
