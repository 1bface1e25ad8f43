"""Topics with a fake clock: who is told, how often it is tried, and what never arrives."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intermodal_engine.lifecycle.notifications.post import NotDeliveredError
from intermodal_engine.lifecycle.notifications.topics import NoSuchTopicError
from intermodal_engine.services.call import Call
from intermodal_engine.services.table import find_operation
from intermodal_engine.store.deliveries import Delivery
from intermodal_engine.wire.errors import ServiceError
from tests.helpers.lifecycle import World, make_world

TOPIC = "arn:aws:sns:us-east-1:123456789012:news"
URL = "http://127.0.0.1:9/hook"


class Wire:
    """Takes what is sent, or refuses it as the test says."""

    def __init__(self) -> None:
        self.sent: list[Delivery] = []
        self.refusal: NotDeliveredError | None = None
        self.tried = threading.Semaphore(0)

    def send(self, one: Delivery) -> None:
        self.sent.append(one)
        self.tried.release()
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def world(tmp_path: Path, wire: Wire) -> Iterator[World]:
    world = make_world(tmp_path / "home")
    world.backends.topics._send = wire.send
    yield world
    world.backends.topics.close()


def sns(world: World, operation: str, **parameters: Any) -> dict[str, Any]:
    call = Call(
        world.backends,
        "request-1",
        "us-east-1",
        "123456789012",
        "AKIA",
        {"host": "127.0.0.1:4566"},
    )
    result = find_operation("sns", operation)(call, parameters)
    assert isinstance(result, dict)
    return result


def settle(world: World, wire: Wire, tries: int) -> None:
    """Until so many further tries have ended."""
    world.settle()
    for _ in range(tries):
        assert wire.tried.acquire(timeout=10)
    deadline = threading.Event()
    while world.backends.topics._under_way:
        deadline.wait(0.005)
    world.settle()


def subscribed(world: World, wire: Wire, url: str = URL, **attributes: str) -> str:
    sns(world, "CreateTopic", Name="news")
    answer = sns(
        world, "Subscribe", TopicArn=TOPIC, Protocol="http", Endpoint=url, Attributes=attributes
    )
    assert answer == {"SubscriptionArn": "pending confirmation"}
    settle(world, wire, 1)
    asked = json.loads(wire.sent.pop().body)
    assert asked["SubscribeURL"].startswith("http://127.0.0.1:4566/?Action=ConfirmSubscription&")
    arn = sns(world, "ConfirmSubscription", TopicArn=TOPIC, Token=asked["Token"])
    return str(arn["SubscriptionArn"])


def refused(world: World, operation: str, **parameters: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        sns(world, operation, **parameters)
    return f"{caught.value.code}: {caught.value.message}"


def failures(world: World) -> list[dict[str, Any]]:
    path = world.backends.log_streams.path("sns/us-east-1/123456789012/news/Failure", "deliveries")
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line.partition(" ")[2]) for line in lines]


def test_a_subscriber_that_has_confirmed_is_told(world: World, wire: Wire) -> None:
    arn = subscribed(world, wire)
    attributes = {"kind": {"DataType": "String", "StringValue": "a"}}
    answer = sns(
        world,
        "Publish",
        TopicArn=TOPIC,
        Message="hello",
        Subject="greeting",
        MessageAttributes=attributes,
    )
    settle(world, wire, 1)
    (one,) = wire.sent
    told = json.loads(one.body)
    assert told.pop("Timestamp").endswith("Z")
    assert told == {
        "Type": "Notification",
        "MessageId": answer["MessageId"],
        "TopicArn": TOPIC,
        "Subject": "greeting",
        "Message": "hello",
        "MessageAttributes": {"kind": {"Type": "String", "Value": "a"}},
    }
    assert one.headers["x-amz-sns-message-type"] == "Notification"
    assert one.headers["x-amz-sns-subscription-arn"] == arn


def test_nobody_is_told_who_has_not_confirmed_or_does_not_want_any_more(
    world: World, wire: Wire
) -> None:
    arn = subscribed(world, wire)
    sns(world, "Subscribe", TopicArn=TOPIC, Protocol="http", Endpoint="http://other/")
    settle(world, wire, 1)
    counts = sns(world, "GetTopicAttributes", TopicArn=TOPIC)["Attributes"]
    assert (counts["SubscriptionsConfirmed"], counts["SubscriptionsPending"]) == ("1", "1")
    sns(world, "Unsubscribe", SubscriptionArn=arn)
    wire.sent.clear()
    sns(world, "Publish", TopicArn=TOPIC, Message="hello")
    settle(world, wire, 0)
    assert wire.sent == []


def test_a_message_comes_alone_where_that_is_wanted(world: World, wire: Wire) -> None:
    arn = subscribed(world, wire, RawMessageDelivery="true")
    sns(world, "Publish", TopicArn=TOPIC, Message="hello")
    settle(world, wire, 1)
    assert wire.sent.pop().body == "hello"
    sns(
        world,
        "SetSubscriptionAttributes",
        SubscriptionArn=arn,
        AttributeName="RawMessageDelivery",
        AttributeValue="false",
    )
    sns(world, "Publish", TopicArn=TOPIC, Message="hello")
    settle(world, wire, 1)
    assert json.loads(wire.sent.pop().body)["Message"] == "hello"
    shown = sns(world, "GetSubscriptionAttributes", SubscriptionArn=arn)["Attributes"]
    assert (shown["RawMessageDelivery"], shown["PendingConfirmation"]) == ("false", "false")


def test_a_subscriber_that_does_not_answer_is_tried_four_times_and_then_named(
    world: World, wire: Wire
) -> None:
    subscribed(world, wire)
    wire.refusal = NotDeliveredError("no answer within 15 s")
    sns(world, "Publish", TopicArn=TOPIC, Message="hello")
    settle(world, wire, 1)
    world.advance(19)
    assert len(wire.sent) == 1
    for _ in range(3):
        world.advance(20)
        settle(world, wire, 1)
    world.advance(100)
    assert len(wire.sent) == 4
    (line,) = failures(world)
    assert line["delivery"] == {
        "destination": URL,
        "attempts": 4,
        "providerResponse": "no answer within 15 s",
    }


def test_a_subscriber_that_refuses_is_not_tried_again(world: World, wire: Wire) -> None:
    subscribed(world, wire)
    wire.refusal = NotDeliveredError("it answered 404", is_final=True)
    sns(world, "Publish", TopicArn=TOPIC, Message="hello")
    settle(world, wire, 1)
    world.advance(100)
    assert len(wire.sent) == 1
    assert failures(world)[0]["delivery"]["attempts"] == 1


def test_what_was_not_delivered_is_by_the_next_engine(world: World, wire: Wire) -> None:
    subscribed(world, wire)
    wire.refusal = NotDeliveredError("refused")
    sns(world, "Publish", TopicArn=TOPIC, Message="hello")
    settle(world, wire, 1)
    again, other = world.restarted(), Wire()
    again.backends.topics._send = other.send
    again.advance(20)
    settle(again, other, 1)
    assert json.loads(other.sent[0].body)["Message"] == "hello"
    again.backends.topics.close()


def test_what_is_published_in_a_transaction_that_fails_is_told_to_nobody(
    world: World, wire: Wire
) -> None:
    subscribed(world, wire)
    records = world.backends.records

    def fail() -> None:
        with records.edit("sns-topic", "us-east-1:news"):
            world.backends.topics.publish(TOPIC, "hello")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    settle(world, wire, 0)
    assert wire.sent == []


def test_a_topic_is_made_once_and_is_gone_with_its_subscriptions(world: World, wire: Wire) -> None:
    subscribed(world, wire)
    assert sns(world, "CreateTopic", Name="news") == {"TopicArn": TOPIC}
    assert sns(world, "ListTopics") == {"Topics": [{"TopicArn": TOPIC}]}
    for operation, parameters in {
        "ListSubscriptions": {},
        "ListSubscriptionsByTopic": {"TopicArn": TOPIC},
    }.items():
        (one,) = sns(world, operation, **parameters)["Subscriptions"]
        assert (one["Endpoint"], one["Protocol"]) == (URL, "http")
    sns(world, "DeleteTopic", TopicArn=TOPIC)
    sns(world, "DeleteTopic", TopicArn=TOPIC)
    assert sns(world, "ListSubscriptions") == {"Subscriptions": []}
    with pytest.raises(NoSuchTopicError):
        world.backends.topics.publish(TOPIC, "hello")


def test_pages_have_a_hundred(world: World) -> None:
    for number in range(101):
        sns(world, "CreateTopic", Name=f"t{number}")
    first = sns(world, "ListTopics")
    assert len(first["Topics"]) == 100
    assert len(sns(world, "ListTopics", NextToken=first["NextToken"])["Topics"]) == 1


@pytest.mark.parametrize(
    ("operation", "parameters", "words"),
    [
        ("CreateTopic", {"Name": "a.fifo"}, "does not serve FIFO topics"),
        ("CreateTopic", {"Name": "a b"}, "InvalidParameter: Invalid parameter: Topic Name"),
        ("CreateTopic", {"Name": "a", "Attributes": {"Policy": "{}"}}, "`Policy` of a topic"),
        ("GetTopicAttributes", {"TopicArn": TOPIC}, "NotFound: Topic"),
        ("ConfirmSubscription", {"TopicArn": TOPIC, "Token": "x"}, "NotFound: Topic"),
        ("Publish", {"TopicArn": TOPIC, "Message": "x"}, "NotFound: Topic"),
        ("Publish", {"Message": "x"}, "TopicArn or TargetArn"),
        ("Publish", {"TopicArn": TOPIC, "Message": ""}, "Empty message"),
        ("Publish", {"TopicArn": TOPIC, "Message": "x" * 262_145}, "Message too long"),
        ("Publish", {"PhoneNumber": "1", "Message": "x"}, "does not serve `PhoneNumber`"),
        ("Publish", {"MessageStructure": "json", "Message": "x"}, "`MessageStructure`"),
        ("ListTopics", {"NextToken": "x"}, "NextToken"),
        ("GetSubscriptionAttributes", {"SubscriptionArn": "x"}, "NotFound: Subscription"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    world: World, operation: str, parameters: dict[str, Any], words: str
) -> None:
    assert words in refused(world, operation, **parameters)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Protocol": "email"}, "does not serve the protocol `email`"),
        ({"Endpoint": "https://x"}, "is no URL of http://"),
        ({"Endpoint": "http://"}, "is no URL of http://"),
        ({"Endpoint": "http://x:99999/"}, "is no URL of http://"),
        ({"Endpoint": "http://x/\r\nA: b"}, "is no URL of http://"),
        ({"Attributes": {"FilterPolicy": "{}"}}, "`FilterPolicy` of a subscription"),
        ({"Attributes": {"RawMessageDelivery": "yes"}}, "neither true nor false"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused(
    world: World, changes: dict[str, Any], words: str
) -> None:
    sns(world, "CreateTopic", Name="news")
    request = {"TopicArn": TOPIC, "Protocol": "http", "Endpoint": URL, **changes}
    assert words in refused(world, "Subscribe", **request)


def test_a_wrong_token_confirms_nothing(world: World, wire: Wire) -> None:
    subscribed(world, wire)
    words = refused(world, "ConfirmSubscription", TopicArn=TOPIC, Token="x")
    assert "Invalid token" in words
