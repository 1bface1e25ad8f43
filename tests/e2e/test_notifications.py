"""SNS's topics by boto3, with webhooks that confirm and hang, and an engine that is killed."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from botocore.exceptions import ClientError

from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.webhook import Webhook, webhook

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine() as engine:
        yield engine


@pytest.fixture
def sns(engine: RunningEngine) -> Any:
    return engine.client("sns", retries={"max_attempts": 0})


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as hook:
        yield hook


def subscribed(sns: Any, name: str, *hooks: Webhook) -> str:
    topic = str(sns.create_topic(Name=name)["TopicArn"])
    for hook in hooks:
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=hook.url)
        hook.wait_for("SubscriptionConfirmation")
    deadline = time.monotonic() + 10
    while sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsPending"] != "0":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return topic


def test_a_webhook_confirms_by_fetching_and_is_told(sns: Any, hook: Webhook) -> None:
    topic = subscribed(sns, "news", hook)
    began = time.monotonic()
    sent = sns.publish(TopicArn=topic, Message="hello", Subject="greeting")
    (told,) = hook.wait_for("Notification")
    assert time.monotonic() - began < 2.0
    assert (told["MessageId"], told["Message"]) == (sent["MessageId"], "hello")


def test_a_token_confirms_through_the_api_as_well(sns: Any, hook: Webhook) -> None:
    hook.confirms = False
    topic = sns.create_topic(Name="by-token")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=hook.url)
    (asked,) = hook.wait_for("SubscriptionConfirmation")
    sns.publish(TopicArn=topic, Message="too early")
    arn = sns.confirm_subscription(TopicArn=topic, Token=asked["Token"])["SubscriptionArn"]
    assert arn.startswith(topic)
    sns.publish(TopicArn=topic, Message="hello")
    assert [one["Message"] for one in hook.wait_for("Notification")] == ["hello"]


@pytest.mark.parametrize(
    "query",
    [
        "Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:123456789012:news&Token=x",
        "Action=ListTopics",
        "Action=Publish&Message=x",
    ],
)
def test_nothing_else_needs_no_signature(engine: RunningEngine, sns: Any, query: str) -> None:
    sns.create_topic(Name="news")
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{engine.endpoint_url}/?{query}")
    caught.value.close()
    assert caught.value.code in (400, 403)


def test_a_webhook_that_hangs_holds_up_no_other(sns: Any, hook: Webhook) -> None:
    with webhook() as hanging:
        topic = subscribed(sns, "slow", hanging, hook)
        hanging.hang_s = 20.0
        began = time.monotonic()
        for number in range(3):
            sns.publish(TopicArn=topic, Message=str(number))
        hook.wait_for("Notification", 3)
        assert time.monotonic() - began < 5.0


def test_what_was_published_before_a_kill_is_delivered_after_it(
    engine: RunningEngine, sns: Any, hook: Webhook
) -> None:
    topic = subscribed(sns, "killed", hook)
    hook.hang_s = 5.0
    sns.publish(TopicArn=topic, Message="hello")
    hook.wait_for("Notification")
    engine.kill()
    engine.start()
    hook.wait_for("Notification", 2)


def test_what_is_not_there_has_sns_own_error(sns: Any) -> None:
    with pytest.raises(sns.exceptions.NotFoundException):
        sns.publish(TopicArn="arn:aws:sns:us-east-1:123456789012:nobody", Message="x")
    topic = sns.create_topic(Name="news")["TopicArn"]
    with pytest.raises(ClientError, match="does not serve the protocol `sqs`"):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:::q")
