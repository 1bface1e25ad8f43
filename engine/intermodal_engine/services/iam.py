"""IAM: roles, as far as clients of SageMaker ask for them.

The engine keeps no roles. A role that a request names is used as a name only, never checked, so
GetRole answers for any name that IAM would take: clients such as the vendor's SDK look a role up
to turn its name into an ARN, and must get the ARN that a job of this account would carry. They
then ask what the role may do: everything, because the engine evaluates no policies.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

import base64
import datetime
import hashlib
import json
from urllib.parse import quote

from intermodal_engine.services.call import Call, Operation, Parameters

_TRUST_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
# A role that was never made needs a date all the same; the same one at every call.
_CREATED = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def get_role(call: Call, parameters: Parameters) -> Parameters:
    """The role of that name, at the root path, trusted by SageMaker."""
    name = parameters["RoleName"]
    return {
        "Role": {
            "Path": "/",
            "RoleName": name,
            "RoleId": role_id(name),
            "Arn": f"arn:aws:iam::{call.account_id}:role/{name}",
            "CreateDate": _CREATED,
            "AssumeRolePolicyDocument": quote(json.dumps(_TRUST_POLICY), safe=""),
            "Description": "A role of the local engine: a name without policies",
            "MaxSessionDuration": 3600,
        }
    }


def simulate_principal_policy(_call: Call, parameters: Parameters) -> Parameters:
    """Every action is allowed on every resource, in one page."""
    resources = parameters.get("ResourceArns") or ["*"]
    return {
        "EvaluationResults": [
            {
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": "allowed",
                "MatchedStatements": [],
                "MissingContextValues": [],
            }
            for action in parameters["ActionNames"]
            for resource in resources
        ],
        "IsTruncated": False,
    }


def role_id(name: str) -> str:
    """A role's stable unique id, in the form that IAM gives it."""
    digest = hashlib.sha256(name.encode()).digest()
    return "AROA" + base64.b32encode(digest)[:17].decode("ascii")


OPERATIONS: dict[str, Operation] = {
    "GetRole": get_role,
    "SimulatePrincipalPolicy": simulate_principal_policy,
}
