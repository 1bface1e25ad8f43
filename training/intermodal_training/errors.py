"""What can go wrong before the user's script runs; each says who must act.

IntermodalError
└── TrainError
    ├── HyperparameterError     a hyperparameter that no script can be given
    ├── SourceError             the submitted source cannot be had
    ├── EntryPointError         the source does not hold what shall run
    ├── RequirementsError       pip could not install what the source asks for
    ├── HostsError              other hosts of the job cannot be found
    ├── NotServedError          the job asks for a launcher that is not there
    ├── DistributionError       the job asks for a launcher in a way that it cannot serve
    └── StoppedBeforeStartError the service stopped the job before the script started
"""

import signal

from intermodal_contract.errors import IntermodalError


class TrainError(IntermodalError):
    """The script did not start. `exit_code` is what `train` then ends with."""

    exit_code = 1


class HyperparameterError(TrainError):
    """A hyperparameter that no script can be given."""


class SourceError(TrainError):
    """The submitted source cannot be had."""


class EntryPointError(TrainError):
    """The source does not hold what shall run."""


class RequirementsError(TrainError):
    """Pip could not install what the source asks for."""


class HostsError(TrainError):
    """Other hosts of the job cannot be found."""


class NotServedError(TrainError):
    """The job asks for a launcher that is not there."""


class DistributionError(TrainError):
    """The job asks for a launcher in a way that it cannot serve."""


class StoppedBeforeStartError(TrainError):
    """The service stopped the job before the script started."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} before the script started")
        self.exit_code = 128 + number
