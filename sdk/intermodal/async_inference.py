"""Endpoints that take long: requests and answers lie in S3, and the caller fetches the answer."""

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from intermodal.defaults import ASYNC_KEY
from intermodal.errors import (
    AsyncInferenceModelError,
    ObjectNotExistedError,
    PollingTimeoutError,
)
from intermodal.source import code_place

if TYPE_CHECKING:
    from intermodal.predictor_async import AsyncPredictor
    from intermodal.session import Session


@dataclass(slots=True)
class AsyncInferenceConfig:
    """Where answers go and who is told.

    Attributes:
        output_path: S3 prefix of answers; one in the default bucket where `None`.
        max_concurrent_invocations_per_instance: the service's own choice where `None`.
        kms_key_id: encrypts the answers.
        notification_config: `SuccessTopic` and `ErrorTopic`, as CreateEndpointConfig takes it.
        failure_path: S3 prefix of what failed; one in the default bucket where `None`.
    """

    output_path: str | None = None
    max_concurrent_invocations_per_instance: int | None = None
    kms_key_id: str | None = None
    notification_config: dict[str, Any] | None = None
    failure_path: str | None = None

    def completed(self, session: "Session", model_name: str) -> "AsyncInferenceConfig":
        """The same with the defaults' key and folders in the default bucket, where none is."""
        config = replace(self, kms_key_id=session.defaults.or_given(self.kms_key_id, *ASYNC_KEY))
        if self.output_path is not None and self.failure_path is not None:
            return config
        unique = f"{int(time.time())}-{random.randrange(16**4):04x}"
        folder = f"{model_name[: 63 - len(unique) - 1]}-{unique}"
        place = session.default_bucket(), session.default_bucket_prefix or ""
        output = str(code_place(*place, "async-endpoint-outputs", folder))
        failed = str(code_place(*place, "async-endpoint-failures", folder))
        return replace(
            config,
            output_path=self.output_path or output,
            failure_path=self.failure_path or failed,
        )

    def request(self) -> dict[str, Any]:
        """The entry as CreateEndpointConfig takes it."""
        output = {
            "S3OutputPath": self.output_path,
            "S3FailurePath": self.failure_path,
            "KmsKeyId": self.kms_key_id,
            "NotificationConfig": self.notification_config,
        }
        request: dict[str, Any] = {
            "OutputConfig": {name: value for name, value in output.items() if value}
        }
        if self.max_concurrent_invocations_per_instance:
            request["ClientConfig"] = {
                "MaxConcurrentInvocationsPerInstance": self.max_concurrent_invocations_per_instance
            }
        return request


@dataclass(frozen=True, slots=True)
class WaiterConfig:
    """How long to wait for an answer: `max_attempts` times `delay`.

    S3 is asked sooner than every `delay` seconds, as `polling.Pace` has it.

    Attributes:
        max_attempts: how many times.
        delay: seconds.
    """

    max_attempts: int = 60
    delay: int = 15

    @property
    def limit_s(self) -> float:
        """Seconds in all."""
        return self.max_attempts * self.delay


class AsyncInferenceResponse:
    """An answer that may have yet to come.

    Args:
        predictor_async: whose deserializer reads the answer.
        output_path: the S3 URI where it will lie.
        failure_path: the S3 URI where the error will lie instead.
    """

    def __init__(
        self, predictor_async: "AsyncPredictor", output_path: str, failure_path: str | None
    ) -> None:
        self.predictor_async = predictor_async
        self.output_path = output_path
        self.failure_path = failure_path
        self._result: Any = None

    def get_result(self, waiter_config: WaiterConfig | None = None) -> Any:
        """What the deserializer makes of the answer.

        Args:
            waiter_config: how long to wait; not at all where `None`.

        Raises:
            ObjectNotExistedError: it is not there yet.
            PollingTimeoutError: it was not there in time.
            AsyncInferenceModelError: the model failed, in its own words.
        """
        if self._result is None:
            if waiter_config is None:
                self._result = self._now()
            else:
                self._result = self._within(waiter_config)
        return self._result

    def _now(self) -> Any:
        try:
            return self._fetch()
        except NotYetError:
            raise ObjectNotExistedError(
                f"there is no answer at `{self.output_path}` yet",
                hint="the inference may still run; give get_result() a WaiterConfig() to wait",
            ) from None

    def _within(self, waiter_config: WaiterConfig) -> Any:
        from intermodal.live import LiveView
        from intermodal.polling import Pace, Patience

        pace = Pace()
        patience = Patience(f"the answer at `{self.output_path}`", LiveView().say)
        while True:
            try:
                return patience.ask(lambda: pace.timed(self._fetch))
            except NotYetError:
                if pace.elapsed_s > waiter_config.limit_s:
                    raise PollingTimeoutError(
                        f"there is no answer at `{self.output_path}` after "
                        f"{waiter_config.limit_s:.0f} s",
                        hint="the inference may still run; ask get_result() again later",
                    ) from None
            pace.rest()

    def _fetch(self) -> Any:
        try:
            return self.predictor_async.answer_at(self.output_path)
        except NotYetError:
            if self.failure_path is None:
                raise
        words = self.predictor_async.read(self.failure_path).decode(errors="replace")
        raise AsyncInferenceModelError(
            f"the model failed: {words.strip()}", hint=f"all of it lies at `{self.failure_path}`"
        )


class NotYetError(Exception):
    """There is no such object yet."""
