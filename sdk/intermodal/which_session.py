"""Which session an estimator, model or predictor uses that was given none.

Sessions, and all that talks to AWS, are imported here when the first one is needed: half of what
`from intermodal.pytorch import PyTorch` would take otherwise.
"""

from typing import TYPE_CHECKING

from intermodal.training_options import LOCAL_INSTANCE_TYPES

if TYPE_CHECKING:
    from intermodal.session import Session


def session_for(instance_type: str | None, session: "Session | None") -> "Session":
    """The one given, else a local one where the instance type says so, else boto3's own."""
    if session is not None:
        return session
    if instance_type in LOCAL_INSTANCE_TYPES:
        from intermodal.local import LocalSession

        return LocalSession()
    from intermodal.session import Session

    return Session()
