"""How an asynchronous invocation ended, and the notification of it. Without effects.

https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intermodal_engine.store.async_requests import AsyncRequest
from intermodal_engine.wire.timestamps import to_iso8601

RESPONSE_LIMIT_BYTES = 128 << 10
"""Larger answers are not part of notifications."""

_TEXTS = ("text/", "application/json", "application/jsonlines")
_SIDES = {
    True: ("SuccessTopic", "SUCCESS_NOTIFICATION_TOPIC"),
    False: ("ErrorTopic", "ERROR_NOTIFICATION_TOPIC"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one invocation.

    Attributes:
        failure: why it failed; empty where it did not.
        content_type: of the model's answer, if there was one.
        answer: the model's own, where it is small enough for a notification; None: there is none,
            or a larger one.
        is_expired: it waited for too long.
    """

    failure: str = ""
    content_type: str | None = None
    answer: bytes | None = None
    is_expired: bool = False

    @property
    def has_succeeded(self) -> bool:
        """Whether its result is stored."""
        return not self.failure


def topic_of(request: AsyncRequest, outcome: Outcome) -> str | None:
    """The topic that is told of it, if any."""
    side, _ = _SIDES[outcome.has_succeeded]
    return request.places["notifications"].get(side) or None


def notification(request: AsyncRequest, outcome: Outcome, now: float) -> str:
    """What the topic's subscribers read, as AWS writes it."""
    parameters = request.parameters
    asked = {
        "endpointName": request.endpoint,
        "contentType": parameters.get("ContentType"),
        "accept": parameters.get("Accept"),
        "customAttributes": parameters.get("CustomAttributes"),
        "inputLocation": parameters.get("InputLocation"),
    }
    message: dict[str, Any] = {
        "awsRegion": request.places["region"],
        "eventTime": to_iso8601(now),
        "receivedTime": to_iso8601(request.accepted_at),
        "invocationStatus": "Completed" if outcome.has_succeeded else "Failed",
        "requestParameters": _given(asked),
        "responseParameters": _response(request, outcome),
        "inferenceId": parameters["InferenceId"],
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if not outcome.has_succeeded:
        message["failureReason"] = outcome.failure
    return json.dumps(message)


def _response(request: AsyncRequest, outcome: Outcome) -> Mapping[str, Any]:
    places = request.places
    place = {"outputLocation": places["output"]}
    if not outcome.has_succeeded:
        place = {"failureLocation": places["failure"]} if "failure" in places else {}
    _, side = _SIDES[outcome.has_succeeded]
    response = {"contentType": outcome.content_type, **place}
    wanted = places["notifications"].get("IncludeInferenceResponseIn", [])
    if side in wanted and outcome.answer is not None:
        response["responseBody"] = _body(outcome.answer, outcome.content_type or "")
    return _given(response)


def _body(answer: bytes, content_type: str) -> Any:
    """Text as it is; anything else in base64."""
    if content_type.startswith(_TEXTS):
        try:
            return {"content": answer.decode(), "encoding": "UTF-8"}
        except UnicodeDecodeError:
            pass
    return {"content": base64.b64encode(answer).decode(), "encoding": "BASE64"}


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
