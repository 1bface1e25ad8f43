"""What subscribers by HTTP get, as SNS writes it. Without effects.

https://docs.aws.amazon.com/sns/latest/dg/http-subscription-confirmation-json.html
https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from intermodal_engine.wire.timestamps import to_iso8601

Request = tuple[dict[str, str], str]
"""Headers and body."""


def confirmation(
    message_id: str, topic: str, subscription: str, token: str, base_url: str, now: float
) -> Request:
    """What asks an endpoint whether it wants to be told of a topic.

    Args:
        message_id: UUID.
        topic: ARN.
        subscription: ARN.
        token: whoever knows it may confirm.
        base_url: of the engine, as the one who subscribes knows it.
        now: epoch seconds.
    """
    query = urlencode({"Action": "ConfirmSubscription", "TopicArn": topic, "Token": token})
    body = {
        "Type": "SubscriptionConfirmation",
        "MessageId": message_id,
        "Token": token,
        "TopicArn": topic,
        "Message": f"You have chosen to subscribe to the topic {topic}.\nTo confirm the "
        "subscription, visit the SubscribeURL included in this message.",
        "SubscribeURL": f"{base_url}/?{query}",
        "Timestamp": to_iso8601(now),
    }
    return _headers(body, topic, subscription), json.dumps(body, indent=2)


def notification(
    message_id: str,
    topic: str,
    subscription: str,
    message: str,
    subject: str | None,
    attributes: Mapping[str, Any],
    now: float,
) -> Request:
    """A published message.

    Args:
        message_id: UUID.
        topic: ARN.
        subscription: ARN.
        message: the text.
        subject: its subject, if it has one.
        attributes: `MessageAttributes` of Publish.
        now: epoch seconds.
    """
    body: dict[str, Any] = {"Type": "Notification", "MessageId": message_id, "TopicArn": topic}
    if subject is not None:
        body["Subject"] = subject
    body |= {"Message": message, "Timestamp": to_iso8601(now)}
    if attributes:
        body["MessageAttributes"] = {
            name: {"Type": one["DataType"], "Value": one.get("StringValue", "")}
            for name, one in attributes.items()
        }
    return _headers(body, topic, subscription), json.dumps(body, indent=2)


def raw(message_id: str, topic: str, subscription: str, message: str) -> Request:
    """A published message alone, for `RawMessageDelivery`."""
    told = {"Type": "Notification", "MessageId": message_id}
    return {**_headers(told, topic, subscription), "x-amz-sns-rawdelivery": "true"}, message


def _headers(body: Mapping[str, Any], topic: str, subscription: str) -> dict[str, str]:
    headers = {
        "x-amz-sns-message-type": body["Type"],
        "x-amz-sns-message-id": body["MessageId"],
        "x-amz-sns-topic-arn": topic,
        "Content-Type": "text/plain; charset=UTF-8",
        "User-Agent": "Amazon Simple Notification Service Agent",
    }
    if body["Type"] == "Notification":
        headers["x-amz-sns-subscription-arn"] = subscription
    return headers
