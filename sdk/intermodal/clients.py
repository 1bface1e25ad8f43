"""boto3 clients, made once and when first needed: a service model takes up to 0.2 s to load."""

import threading
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from intermodal import __version__
from intermodal.defaults import Defaults, load_defaults

RUNTIME_READ_TIMEOUT_S = 80
_ONCE = {"total_max_attempts": 1}


class Clients:
    """The clients of one session.

    Args:
        boto_session: a `boto3.Session`; boto3's default one where `None`.
        endpoint_url: where all services are found; boto3's own resolution where `None`.
        given: clients to be used instead of new ones, by service name.
        settings: of botocore's `Config`, for every client.
        config: instead of the defaults files.
    """

    def __init__(
        self,
        boto_session: Any,
        endpoint_url: str | None,
        given: dict[str, Any],
        settings: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.endpoint_url = endpoint_url
        self._settings = dict(settings or {})
        self._given_session = boto_session
        self._config = config
        self._clients = {name: client for name, client in given.items() if client is not None}
        # boto3 sessions make clients in one thread at a time.
        self._lock = threading.RLock()

    @cached_property
    def boto_session(self) -> Any:
        """The `boto3.Session`."""
        if self._given_session is not None:
            return self._given_session
        import boto3

        return boto3.Session()

    @cached_property
    def defaults(self) -> Defaults:
        """The defaults files, read once."""
        return load_defaults(self._read) if self._config is None else Defaults(self._config)

    @property
    def boto_region_name(self) -> str:
        """The region, as in `us-west-2`.

        Raises:
            ValueError: boto3 knows no region.
        """
        region = self.boto_session.region_name
        if not region:
            raise ValueError(
                "no AWS region is configured\n"
                "hint: set AWS_DEFAULT_REGION, or run `aws configure`; "
                "for the local engine use LocalSession()"
            )
        return str(region)

    def client(self, service: str) -> Any:
        """The one boto3 client of that service.

        Raises:
            CredentialsMissingError: boto3 finds no credentials.
            UnknownRegionError: the region is nowhere.
        """
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._new_client(service)
            return self._clients[service]

    def _read(self, uri: str) -> bytes:
        from intermodal.storage import Storage
        from intermodal_contract.channel import parse_s3_uri

        return Storage(self.client("s3")).read(parse_s3_uri(uri))

    def _new_client(self, service: str) -> Any:
        from intermodal.credentials import explain_refusals, require_credentials, require_region

        require_credentials(self.boto_session)
        client = self.boto_session.client(
            service,
            region_name=self.boto_region_name,
            endpoint_url=self.endpoint_url,
            config=_config(service, self._settings),
        )
        require_region(self.boto_session, client)
        explain_refusals(client)
        return client

    @property
    def control_plane(self) -> tuple[str, str] | None:
        """Region and address of SageMaker as this session speaks to it; `None` before it has."""
        client = self._clients.get("sagemaker") or self._clients.get("sagemaker-runtime")
        meta = getattr(client, "meta", None)
        return None if meta is None else (str(meta.region_name), str(meta.endpoint_url))

    @property
    def sagemaker_client(self) -> Any:
        """The control plane."""
        return self.client("sagemaker")

    @property
    def sagemaker_runtime_client(self) -> Any:
        """Invocations."""
        return self.client("sagemaker-runtime")


def _config(service: str, settings: Mapping[str, Any]) -> Any:
    from botocore.config import Config

    config = Config(
        user_agent_extra=f"intermodal/{__version__}",
        retries={"mode": "standard", "total_max_attempts": 4},
        **settings,
    )
    if service == "cloudwatch":
        # Curves are looked at while something else is waited for, which they may not hold up.
        return config.merge(Config(connect_timeout=2, read_timeout=3, retries=_ONCE))
    if service != "sagemaker-runtime":
        return config
    # An invocation may change something: what the user's own loop does not repeat, we do not.
    return config.merge(Config(read_timeout=RUNTIME_READ_TIMEOUT_S, retries=_ONCE))
