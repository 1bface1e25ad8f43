"""SNS: topics whose subscribers are told by HTTP.

https://docs.aws.amazon.com/sns/latest/api/Welcome.html
"""

import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from intermodal_engine.lifecycle.notifications.topics import (
    CONFIRMED,
    SUBSCRIPTION,
    TOPIC,
    InvalidTokenError,
    NoSuchTopicError,
)
from intermodal_engine.services.answers import page_of
from intermodal_engine.services.call import Call, Operation, Parameters
from intermodal_engine.store.records import Record, RecordExistsError
from intermodal_engine.wire.errors import ServiceError

MESSAGE_LIMIT_BYTES = 256 << 10
PAGE_LIMIT = 100
_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_PROTOCOLS = ("http", "https")
_BOOLEANS = ("true", "false")


def create_topic(call: Call, parameters: Parameters) -> Parameters:
    """A topic; one that is there already is answered as it is."""
    name = parameters["Name"]
    if name.endswith(".fifo") or parameters.get("Attributes", {}).get("FifoTopic") == "true":
        raise _not_served("FIFO topics", "use a standard topic")
    if not _NAME.fullmatch(name):
        raise _invalid("Topic Name: letters, digits, _ and -, at most 256")
    attributes = {
        member: value for member, value in parameters.get("Attributes", {}).items() if value
    }
    for member in attributes.keys() - {"DisplayName", "FifoTopic"}:
        raise _not_served(f"the attribute `{member}` of a topic", "leave it out")
    arn = f"arn:aws:sns:{call.region}:{call.account_id}:{name}"
    tags = {tag["Key"]: tag["Value"] for tag in parameters.get("Tags", [])}
    try:
        call.backends.records.insert(
            TOPIC, f"{call.region}:{name}", arn=arn, request=attributes, tags=tags
        )
    except RecordExistsError:
        return {"TopicArn": arn}
    return {"TopicArn": arn}


def delete_topic(call: Call, parameters: Parameters) -> Parameters:
    """Forgets a topic and its subscriptions; one that is not there is none afterwards either."""
    try:
        call.backends.topics.delete(call.backends.topics.find(parameters["TopicArn"]))
    except NoSuchTopicError:
        return {}
    return {}


def list_topics(call: Call, parameters: Parameters) -> Parameters:
    """All, a hundred a page."""
    found = call.backends.records.all(TOPIC)
    return _page(parameters, "Topics", [{"TopicArn": one.arn} for one in found])


def get_topic_attributes(call: Call, parameters: Parameters) -> Parameters:
    """A topic's name and how many are subscribed."""
    topic = _topic(call, parameters["TopicArn"])
    counts = [one.status == CONFIRMED for one in call.backends.topics.subscriptions(topic.arn)]
    return {
        "Attributes": {
            "TopicArn": topic.arn,
            "Owner": call.account_id,
            "DisplayName": topic.request.get("DisplayName", ""),
            "SubscriptionsConfirmed": str(sum(counts)),
            "SubscriptionsPending": str(len(counts) - sum(counts)),
            "SubscriptionsDeleted": "0",
        }
    }


def subscribe(call: Call, parameters: Parameters) -> Parameters:
    """Asks an endpoint whether it wants to be told of a topic."""
    protocol, url = parameters["Protocol"], parameters.get("Endpoint", "")
    if protocol not in _PROTOCOLS:
        raise _not_served(
            f"the protocol `{protocol}`", "subscribe an endpoint by `http` or `https`"
        )
    _check_url(protocol, url)
    attributes = parameters.get("Attributes", {})
    for name, value in attributes.items():
        _check_attribute(name, value)
    topic = _topic(call, parameters["TopicArn"])
    base_url = f"http://{call.headers['host']}"
    record = call.backends.topics.subscribe(topic.arn, protocol, url, attributes, base_url)
    is_told = record.status == CONFIRMED or parameters.get("ReturnSubscriptionArn")
    return {"SubscriptionArn": record.arn if is_told else "pending confirmation"}


def confirm_subscription(call: Call, parameters: Parameters) -> Parameters:
    """An endpoint wants to be told: it knows the token."""
    try:
        record = call.backends.topics.confirm(parameters["TopicArn"], parameters["Token"])
    except NoSuchTopicError as error:
        raise _not_found(str(error)) from error
    except InvalidTokenError as error:
        raise _invalid(f"Token: {error}") from error
    return {"SubscriptionArn": record.arn}


def unsubscribe(call: Call, parameters: Parameters) -> Parameters:
    """Forgets a subscription; one that is not there is none afterwards either."""
    record = call.backends.records.find_by_arn(parameters["SubscriptionArn"])
    if record is not None and record.kind == SUBSCRIPTION:
        call.backends.records.delete(SUBSCRIPTION, record.name)
    return {}


def list_subscriptions(call: Call, parameters: Parameters) -> Parameters:
    """Those to all topics."""
    found = call.backends.topics.subscriptions()
    return _page(parameters, "Subscriptions", [_summary(call, one) for one in found])


def list_subscriptions_by_topic(call: Call, parameters: Parameters) -> Parameters:
    """Those to one topic."""
    topic = _topic(call, parameters["TopicArn"])
    found = call.backends.topics.subscriptions(topic.arn)
    return _page(parameters, "Subscriptions", [_summary(call, one) for one in found])


def get_subscription_attributes(call: Call, parameters: Parameters) -> Parameters:
    """A subscription, and whether it is confirmed."""
    record = _subscription(call, parameters["SubscriptionArn"])
    return {
        "Attributes": {
            "RawMessageDelivery": "false",
            **record.state["attributes"],
            **record.request,
            "SubscriptionArn": record.arn,
            "Owner": call.account_id,
            "PendingConfirmation": json.dumps(record.status != CONFIRMED),
        }
    }


def set_subscription_attributes(call: Call, parameters: Parameters) -> Parameters:
    """Whether messages come without SNS's envelope."""
    record = _subscription(call, parameters["SubscriptionArn"])
    name, value = parameters["AttributeName"], parameters.get("AttributeValue", "")
    _check_attribute(name, value)
    with call.backends.records.edit(SUBSCRIPTION, record.name) as draft:
        draft.state["attributes"][name] = value
    return {}


def publish(call: Call, parameters: Parameters) -> Parameters:
    """Tells all who are subscribed to a topic."""
    if "PhoneNumber" in parameters:
        raise _not_served("`PhoneNumber`", "publish to a topic")
    if "MessageStructure" in parameters:
        raise _not_served("`MessageStructure`", "send one message for all protocols")
    topic = parameters.get("TopicArn") or parameters.get("TargetArn")
    if topic is None:
        raise _invalid("TopicArn or TargetArn Reason: no value for required parameter")
    message = parameters["Message"]
    if not message:
        raise _invalid("Empty message")
    if len(message.encode()) > MESSAGE_LIMIT_BYTES:
        raise _invalid(f"Message too long: {MESSAGE_LIMIT_BYTES} bytes at most")
    attributes = parameters.get("MessageAttributes", {})
    for name, one in attributes.items():
        if "BinaryValue" in one:
            raise _not_served(f"`BinaryValue` (`{name}`)", "send a string")
    subject = parameters.get("Subject")
    try:
        return {"MessageId": call.backends.topics.publish(topic, message, subject, attributes)}
    except NoSuchTopicError as error:
        raise _not_found(str(error)) from error


OPERATIONS: dict[str, Operation] = {
    "ConfirmSubscription": confirm_subscription,
    "CreateTopic": create_topic,
    "DeleteTopic": delete_topic,
    "GetSubscriptionAttributes": get_subscription_attributes,
    "GetTopicAttributes": get_topic_attributes,
    "ListSubscriptions": list_subscriptions,
    "ListSubscriptionsByTopic": list_subscriptions_by_topic,
    "ListTopics": list_topics,
    "Publish": publish,
    "SetSubscriptionAttributes": set_subscription_attributes,
    "Subscribe": subscribe,
    "Unsubscribe": unsubscribe,
}


def _topic(call: Call, arn: str) -> Record:
    try:
        return call.backends.topics.find(arn)
    except NoSuchTopicError as error:
        raise _not_found(str(error)) from error


def _subscription(call: Call, arn: str) -> Record:
    record = call.backends.records.find_by_arn(arn)
    if record is None or record.kind != SUBSCRIPTION:
        raise _not_found(f"Subscription {arn} does not exist")
    return record


def _summary(call: Call, record: Record) -> Parameters:
    is_confirmed = record.status == CONFIRMED
    return {
        **record.request,
        "SubscriptionArn": record.arn if is_confirmed else "PendingConfirmation",
        "Owner": call.account_id,
    }


def _check_url(protocol: str, url: str) -> None:
    parts = urlsplit(url)
    try:
        is_url = parts.scheme == protocol and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or any(one.isspace() or not one.isprintable() for one in url):
        raise _invalid(f"Endpoint: `{url}` is no URL of {protocol}://")


def _check_attribute(name: str, value: str) -> None:
    if name != "RawMessageDelivery":
        raise _not_served(f"the attribute `{name}` of a subscription", "leave it out")
    if value not in _BOOLEANS:
        raise _invalid(f"RawMessageDelivery: `{value}` is neither true nor false")


def _page(parameters: Parameters, member: str, entries: Sequence[Mapping[str, str]]) -> Parameters:
    page, more = page_of(entries, parameters.get("NextToken"), PAGE_LIMIT, _invalid)
    return {member: list(page), **more}


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameter", f"Invalid parameter: {message}", status=400)


def _not_found(message: str) -> ServiceError:
    return ServiceError("NotFound", message, status=404)


def _not_served(what: str, instead: str) -> ServiceError:
    return _invalid(f"intermodal's engine does not serve {what} yet; {instead}")
