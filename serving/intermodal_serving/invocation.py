"""One request to the model, on its way from the queue to its answer."""

from time import monotonic
from typing import TYPE_CHECKING, Any

from intermodal_serving.context import Context
from intermodal_serving.media_types import ContentType
from intermodal_serving.messages import Answer, Request

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from intermodal_serving.pipeline import LoadedModel
    from intermodal_serving.streaming import Stream


class Invocation:
    """What is known of one request to the model.

    Args:
        model: which model.
        request: what the answer is for.
        context: what handlers may learn and say.
        content_type: of the body.
        accepted: media types that the client takes, dearest first; at least one.
        deliver: called on the event loop once the outcome is there.
    """

    __slots__ = (
        "accepted",
        "body",
        "content_type",
        "context",
        "data",
        "decode_s",
        "deliver",
        "encode_s",
        "is_abandoned",
        "model",
        "outcome",
        "predict_s",
        "prediction",
        "queue_s",
        "request",
        "submitted_at",
        "task",
    )

    def __init__(
        self,
        model: "LoadedModel",
        request: Request,
        context: Context,
        content_type: ContentType,
        accepted: tuple[str, ...],
        deliver: "Callable[[Invocation], None]",
    ) -> None:
        self.model = model
        self.context = context
        self.request = request
        self.body = request.body
        self.content_type = content_type
        self.accepted = accepted
        self.deliver = deliver
        self.data: Any = None
        self.prediction: Any = None
        self.outcome: Answer | Stream | BaseException | None = None
        """The answer, whole or in pieces, or what was raised instead."""
        self.is_abandoned = False
        """Nobody waits any more: it ran out of time, or its client left."""
        self.task: asyncio.Task[None] | None = None
        """What drives it, where the model has `async` steps."""
        self.submitted_at = monotonic()
        self.queue_s = self.decode_s = self.predict_s = self.encode_s = 0.0

    def abandon(self) -> None:
        """Nobody waits any more; it is not run unless it has begun."""
        self.is_abandoned = True
