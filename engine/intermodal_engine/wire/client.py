"""A client as the users of this engine have: botocore's, with its own retries and time-outs.

For programs that call the engine from outside; the engine itself never imports this.
"""

import os
from dataclasses import dataclass
from typing import Any

from intermodal_engine.wire.sigv4 import Credentials


class CallError(Exception):
    """A call has failed, after all of the client's retries.

    Args:
        code: AWS's code, or the kind of failure where nothing answered.
        message: what was answered.
        retries: how often it was tried again.
    """

    def __init__(self, code: str, message: str, retries: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.retries = retries


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call gave.

    Attributes:
        result: as boto3 gives it; a `Body` in it has been read.
        retries: how often the call was tried again.
    """

    result: dict[str, Any]
    retries: int


class Client:
    """Calls one service; may be used by several threads at once.

    Args:
        service: its name in botocore, for example `sagemaker-runtime`.
        endpoint_url: of the engine.
        region: of the signatures.
        credentials: the engine's own.
        connections: how many calls there are at once.
    """

    def __init__(
        self,
        service: str,
        *,
        endpoint_url: str,
        region: str,
        credentials: Credentials,
        connections: int,
    ) -> None:
        import botocore.session
        from botocore.config import Config

        nothing = (None, None, os.devnull, None)
        files = {"config_file": nothing, "credentials_file": nothing}
        session = botocore.session.Session(
            session_vars={"profile": (None, None, None, None), **files}
        )
        self._client = session.create_client(
            service,
            region_name=region,
            endpoint_url=endpoint_url,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            config=Config(max_pool_connections=connections, proxies={}),
        )

    def call(self, operation: str, **parameters: Any) -> Reply:
        """Calls an operation by AWS's name.

        Raises:
            CallError: it has failed.
        """
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            result = getattr(self._client, xform_name(operation))(**parameters)
            if "Body" in result:
                result["Body"] = result["Body"].read()
        except ClientError as error:
            said = error.response["Error"]
            metadata = error.response.get("ResponseMetadata", {})
            raise CallError(
                said["Code"], said["Message"], metadata.get("RetryAttempts", 0)
            ) from error
        except (BotoCoreError, HTTPClientError) as error:
            raise CallError(type(error).__name__, str(error), 0) from error
        return Reply(result, result["ResponseMetadata"].get("RetryAttempts", 0))
