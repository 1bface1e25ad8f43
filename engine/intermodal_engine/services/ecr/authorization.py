"""The login to the registry, in ECR's form.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
"""

import base64
import secrets

from intermodal_engine.services.answers import when
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.services.ecr.resources import invalid, registry_url

TOKEN_LIFE_S = 12 * 3600.0
"""How long ECR's tokens last."""

_USER = "AWS"


def get_authorization_token(call: Call, parameters: Parameters) -> Parameters:
    """A user and a password. The registry takes anybody, so nothing ever checks them."""
    for registry_id in parameters.get("registryIds", ()):
        if registry_id != call.account_id:
            raise invalid("registryIds", f"must be {call.account_id}, the engine's own account")
    login = f"{_USER}:{secrets.token_urlsafe(32)}"
    data = {
        "authorizationToken": base64.b64encode(login.encode()).decode(),
        "expiresAt": when(call.backends.clock.now() + TOKEN_LIFE_S),
        "proxyEndpoint": registry_url(call),
    }
    return {"authorizationData": [data]}


OPERATIONS: dict[str, Operation] = {"GetAuthorizationToken": get_authorization_token}
