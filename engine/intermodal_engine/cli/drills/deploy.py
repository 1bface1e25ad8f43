"""`drill deploy`: an endpoint is updated to a model that fails, and goes back by itself."""

import contextlib
import secrets
from typing import Any

from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli.drills.cost import Instances
from intermodal_engine.cli.drills.load import Call
from intermodal_engine.cli.drills.stage import Engine, Request
from intermodal_engine.cli.main import UnavailableError

_MEMBERS = ("ExecutionRoleArn", "VpcConfig", "KmsKeyId", "EnableNetworkIsolation")
_SETTLED = ("InService", "Failed", "UpdateRollbackFailed")


class DeployDrill:
    """Updates an endpoint as its owner would, with the same configuration but for the model.

    Args:
        engine: which one.
        endpoint: which endpoint.
        model: name of a model that fails.
        request: what clients send.
        patience_s: after that the engine sees to the end by itself.
    """

    name = "deploy"

    def __init__(
        self, engine: Engine, endpoint: str, model: str, request: Request, patience_s: float
    ) -> None:
        self.target = endpoint
        self._engine = engine
        self._model = model
        self._patience_s = patience_s
        self._request = request
        engine.do("DescribeModel", ModelName=model)
        self._before: str = engine.do("DescribeEndpoint", EndpointName=endpoint)[
            "EndpointConfigName"
        ]
        self._config = f"drill-{secrets.token_hex(6)}"
        self._fault: str | None = None
        self._after: dict[str, Any] = {}

    @property
    def call(self) -> Call:
        """The endpoint."""
        return self._engine.invoker([self.target], self._request)

    def begin(self) -> list[str]:
        """Begins the update; the configuration is needed no longer than that takes."""
        found = self._engine.do("DescribeEndpointConfig", EndpointConfigName=self._before)
        variants = [{**one, "ModelName": self._model} for one in found["ProductionVariants"]]
        more = {name: found[name] for name in _MEMBERS if found.get(name)}
        begun = self._engine.ask(
            "drills/begin",
            kind="deployment",
            seconds=self._patience_s,
            endpoint=self.target,
            config=self._config,
        )
        self._fault = begun["fault"]
        create = {"EndpointConfigName": self._config, "ProductionVariants": variants, **more}
        try:
            self._engine.do("CreateEndpointConfig", **create)
            self._engine.do(
                "UpdateEndpoint",
                EndpointName=self.target,
                EndpointConfigName=self._config,
                RetainAllVariantProperties=True,
            )
        finally:
            with contextlib.suppress(IntermodalError):
                self._engine.do("DeleteEndpointConfig", EndpointConfigName=self._config)
        return [f"updated the endpoint from `{self._before}` to the model `{self._model}`"]

    def is_over(self) -> bool:
        """Whether the update has come to its end and all instances serve."""
        self._after = self._engine.do("DescribeEndpoint", EndpointName=self.target)
        if self._after["EndpointStatus"] not in _SETTLED:
            return False
        return self._has_stayed() or self._engine.is_whole([self.target])

    def instances(self) -> Instances:
        """Of the old fleet and the new one."""
        return self._engine.instances([self.target])

    def end(self) -> None:
        """Has the engine put the old configuration back, if the model turned out to be good."""
        if self._fault is not None:
            with contextlib.suppress(UnavailableError):
                self._engine.ask("drills/end", fault=self._fault)

    def facts(self) -> dict[str, Any]:
        """Why it went back.

        Raises:
            IntermodalError: it did not.
        """
        if self._has_stayed():
            raise IntermodalError(
                f"model `{self._model}` did not fail: the endpoint served it, and is being updated "
                f"back to `{self._before}`",
                hint="name a model that ends, or does not answer /ping",
            )
        reason = self._after.get("FailureReason", "")
        return {
            "rolled_back": self._after["EndpointConfigName"] == self._before,
            "failure_reason": reason,
            "did": [f"it went back to `{self._before}` by itself: {reason}"],
        }

    def _has_stayed(self) -> bool:
        is_settled = self._after.get("EndpointStatus") == "InService"
        return is_settled and self._after["EndpointConfigName"] == self._config
