"""What the log says of single requests: one JSON object each."""

from time import monotonic

import orjson

from intermodal_serving.context import Context
from intermodal_serving.invocation import Invocation
from intermodal_serving.messages import Request


def access_line(request: Request, status: int, bytes_out: int, **more: int | str) -> str:
    """A request that has its answer, with `more` that is known of it."""
    took_s = monotonic() - request.began_at
    return orjson.dumps(
        {
            "request_id": Context({}, request.headers).request_id,
            "method": request.method,
            "path": request.path,
            "status": status,
            "bytes_in": len(request.body),
            "bytes_out": bytes_out,
            "ms": round(took_s * 1e3, 3),
            **more,
        }
    ).decode()


def slow_line(invocation: Invocation, total_s: float) -> str:
    """An invocation that took long, and where its time went."""
    return orjson.dumps(
        {
            "request_id": invocation.context.request_id,
            "bytes": len(invocation.body),
            "total_ms": round(total_s * 1e3, 3),
            "queue_ms": round(invocation.queue_s * 1e3, 3),
            "decode_ms": round(invocation.decode_s * 1e3, 3),
            "predict_ms": round(invocation.predict_s * 1e3, 3),
            "encode_ms": round(invocation.encode_s * 1e3, 3),
        }
    ).decode()
