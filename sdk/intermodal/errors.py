"""What can go wrong between a notebook and AWS, in words for the person at the keyboard.

    IntermodalError
    └── SdkError                        the root of everything that this package raises on purpose
        ├── InvalidArgumentsError       your code: arguments that AWS would refuse, all at once
        ├── CredentialsMissingError     your configuration: boto3 finds no credentials
        ├── UnknownRegionError          your configuration: a region that is nowhere
        ├── RoleNotFoundError           your configuration: no such role, or the caller is none
        ├── BucketAccessError           your configuration: a bucket that is not yours, or not there
        ├── DefaultsError               your defaults file: not there, or not as it has to be
        ├── CodeFetchError              your configuration: code that git could not fetch
        ├── MissingDependencyError      your environment: an optional package is needed
        ├── EngineUnavailableError      the local engine does not run and could not be started
        ├── DrillError                  a drill could not be played, or did not end well
        ├── ConnectionLostError         the service is out of reach; the job goes on
        ├── ObjectNotExistedError       an asynchronous answer is not there yet
        ├── PollingTimeoutError         an asynchronous answer was not there in time
        ├── AsyncInferenceModelError    your model failed on an asynchronous request
        ├── ModelStreamError            your model broke a streamed answer off
        ├── InternalStreamFailureError  the service broke a streamed answer off
        └── UnexpectedStatusError       a job or endpoint ended in a state that was not asked for
            ├── JobFailedError          a job failed: its reason, its last log lines
            └── EndpointFailedError     an endpoint is not in service: its reason, its log

What AWS itself answers (`botocore.exceptions.ClientError`) passes through in its own words; a hint
follows where the credentials are at fault.
"""

from collections.abc import Sequence

from intermodal_contract.errors import IntermodalError


class SdkError(IntermodalError):
    """The root of what this package raises on purpose."""


class InvalidArgumentsError(SdkError, ValueError):
    """Arguments that AWS would refuse, found before anything was sent.

    Args:
        what: the call that was made, as in `PyTorch.fit`.
        problems: one sentence a fault, each with the argument's name as the user wrote it.
    """

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"{what}: {count}, nothing was uploaded or started{lines}")


class CredentialsMissingError(SdkError):
    """boto3 finds no credentials."""


class UnknownRegionError(SdkError, ValueError):
    """The region is none that boto3 knows, and its address is nowhere."""


class RoleNotFoundError(SdkError, ValueError):
    """There is no such role, or the caller is none, so no execution role can be told from it."""


class BucketAccessError(SdkError):
    """A bucket belongs to someone else, or may not be used."""


class DefaultsError(SdkError, ValueError):
    """The defaults file is not there, or not as it has to be."""


class CodeFetchError(SdkError):
    """Code could not be fetched from its repository."""


class MissingDependencyError(SdkError, ImportError):
    """An optional package is needed for what was asked."""


class EngineUnavailableError(SdkError):
    """The local engine does not run and could not be started."""


class DrillError(SdkError):
    """A drill could not be played, or not all was whole again in time."""


class ConnectionLostError(SdkError):
    """The service could not be reached for long while a job or endpoint was watched."""


class ObjectNotExistedError(SdkError):
    """An asynchronous answer is not there yet."""


class PollingTimeoutError(SdkError):
    """An asynchronous answer was not there in time."""


class AsyncInferenceModelError(SdkError):
    """The model failed on an asynchronous request."""


class ModelStreamError(SdkError):
    """The model broke a streamed answer off."""


class InternalStreamFailureError(SdkError):
    """The service broke a streamed answer off."""


class UnexpectedStatusError(SdkError, ValueError):
    """A job or endpoint ended in a state that was not asked for.

    Args:
        message: what happened, with the service's own reason.
        allowed_statuses: the states that would have been fine.
        actual_status: the state that it is in.
        hint: where to look next.
    """

    def __init__(
        self,
        message: str,
        allowed_statuses: Sequence[str],
        actual_status: str,
        *,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.allowed_statuses = tuple(allowed_statuses)
        self.actual_status = actual_status


class JobFailedError(UnexpectedStatusError):
    """A training, processing, transform or tuning job failed."""


class EndpointFailedError(UnexpectedStatusError):
    """An endpoint did not come into service."""
