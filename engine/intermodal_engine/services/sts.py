"""STS: who the caller is.

https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.iam import role_id


def get_caller_identity(call: Call, _parameters: Parameters) -> Parameters:
    """The engine's own key acts as `intermodal-local/engine`, a job as `ROLE/SageMaker`."""
    return {
        "Account": call.account_id,
        "UserId": f"{role_id(call.role)}:{call.session}",
        "Arn": f"arn:aws:sts::{call.account_id}:assumed-role/{call.role}/{call.session}",
    }


OPERATIONS: dict[str, Operation] = {"GetCallerIdentity": get_caller_identity}
