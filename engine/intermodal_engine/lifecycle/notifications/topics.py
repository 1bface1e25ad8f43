"""Topics, subscriptions and deliveries.

A delivery is kept until it has arrived or never will. Threads of its own make it, so that a
subscriber that hangs holds up nothing else.

https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
"""

import json
import logging
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from intermodal_engine.clock import Clock
from intermodal_engine.lifecycle.data_log import write_line
from intermodal_engine.lifecycle.notifications import messages
from intermodal_engine.lifecycle.notifications.post import NotDeliveredError, post
from intermodal_engine.lifecycle.work_queue import WorkQueue
from intermodal_engine.store.deliveries import Deliveries, Delivery
from intermodal_engine.store.log_streams import LogStreams
from intermodal_engine.store.records import Record, Records

TOPIC, SUBSCRIPTION = "sns-topic", "sns-subscription"
PENDING, CONFIRMED = "PendingConfirmation", "Confirmed"

RETRIES = 3
RETRY_S = 20.0
"""SNS's default policy for subscribers by HTTP: so many further tries, so far apart."""

THREADS = 8
_DELIVERY = "sns-delivery"
_log = logging.getLogger(__name__)


class NoSuchTopicError(LookupError):
    """There is no topic of that ARN."""


class InvalidTokenError(ValueError):
    """No subscription to the topic waits for that token."""


class Topics:
    """All topics of one engine.

    Args:
        records: where topics and subscriptions are kept.
        deliveries: where messages are kept that have not arrived.
        log_streams: where people are told what never arrived.
        queue: keeps the time.
        clock: tells it.
        send: one try; see `post`.
    """

    def __init__(
        self,
        *,
        records: Records,
        deliveries: Deliveries,
        log_streams: LogStreams,
        queue: WorkQueue,
        clock: Clock,
        send: Callable[[Delivery], None] = post,
    ) -> None:
        self._records = records
        self._deliveries = deliveries
        self._log_streams = log_streams
        self._queue = queue
        self._clock = clock
        self._send = send
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="notifications")
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        queue.register(_DELIVERY, self._look)

    def recover(self) -> None:
        """Takes up what an earlier engine had not delivered."""
        for delivery_id in self._deliveries.ids():
            self._queue.wake(_DELIVERY, delivery_id)

    def close(self) -> None:
        """Begins no further try; the next engine goes on."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def find(self, topic: str) -> Record:
        """A topic's record.

        Raises:
            NoSuchTopicError: there is none.
        """
        record = self._records.find_by_arn(topic)
        if record is None or record.kind != TOPIC:
            raise NoSuchTopicError(f"Topic {topic} does not exist")
        return record

    def subscriptions(self, topic: str | None = None) -> list[Record]:
        """Subscriptions, to one topic or to all, oldest first."""
        every = self._records.all(SUBSCRIPTION)
        return [one for one in every if topic in (None, one.request["TopicArn"])]

    def publish(
        self,
        topic: str,
        message: str,
        subject: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> str:
        """Tells all who are subscribed, or none; part of a transaction that is open.

        Raises:
            NoSuchTopicError: there is no such topic.
        """
        self.find(topic)
        message_id, now = str(uuid.uuid4()), self._clock.now()
        with self._records.together():
            for one in self.subscriptions(topic):
                if one.status != CONFIRMED:
                    continue
                if one.state["attributes"].get("RawMessageDelivery") == "true":
                    request = messages.raw(message_id, topic, one.arn, message)
                else:
                    request = messages.notification(
                        message_id, topic, one.arn, message, subject, attributes or {}, now
                    )
                self._deliver(topic, one.request["Endpoint"], request)
        return message_id

    def subscribe(
        self, topic: str, protocol: str, url: str, attributes: Mapping[str, str], base_url: str
    ) -> Record:
        """Asks an endpoint whether it wants to be told; the same one again is asked once more.

        Args:
            topic: ARN.
            protocol: `http` or `https`.
            url: the endpoint's.
            attributes: of the subscription.
            base_url: of the engine, as the one who subscribes knows it.

        Raises:
            NoSuchTopicError: there is no such topic.
        """
        self.find(topic)
        with self._records.together():
            known = [one for one in self.subscriptions(topic) if one.request["Endpoint"] == url]
            record = known[0] if known else self._insert(topic, protocol, url, attributes)
            if record.status == PENDING:
                request = messages.confirmation(
                    str(uuid.uuid4()), topic, record.arn, record.state["token"], base_url,
                    self._clock.now(),
                )  # fmt: skip
                self._deliver(topic, url, request)
        return record

    def confirm(self, topic: str, token: str) -> Record:
        """An endpoint wants to be told.

        Raises:
            NoSuchTopicError: there is no such topic.
            InvalidTokenError: nobody was asked with that token.
        """
        self.find(topic)
        for one in self.subscriptions(topic):
            if secrets.compare_digest(one.state["token"].encode(), token.encode()):
                with self._records.edit(SUBSCRIPTION, one.name) as draft:
                    draft.status = CONFIRMED
                return one
        raise InvalidTokenError("Invalid token")

    def delete(self, topic: Record) -> None:
        """Forgets a topic with its subscriptions; what was published before is delivered."""
        with self._records.together():
            for one in self.subscriptions(topic.arn):
                self._records.delete(SUBSCRIPTION, one.name)
            self._records.delete(TOPIC, topic.name)

    # Deliveries

    def _insert(self, topic: str, protocol: str, url: str, attributes: Mapping[str, str]) -> Record:
        name = str(uuid.uuid4())
        return self._records.insert(
            SUBSCRIPTION,
            name,
            arn=f"{topic}:{name}",
            request={"TopicArn": topic, "Protocol": protocol, "Endpoint": url},
            status=PENDING,
            state={"token": secrets.token_hex(64), "attributes": dict(attributes)},
        )

    def _deliver(self, topic: str, url: str, request: messages.Request) -> None:
        headers, body = request
        one = Delivery(str(uuid.uuid4()), topic, url, headers, body, 0, self._clock.now())
        self._deliveries.add(one)
        self._queue.wake(_DELIVERY, one.delivery_id)

    def _look(self, delivery_id: str) -> float | None:
        """Begins a try that is due."""
        one = self._deliveries.find(delivery_id)
        if one is None:
            return None
        now = self._clock.now()
        if one.due_at > now:
            return one.due_at
        with self._lock:
            if delivery_id in self._under_way:
                return None
            self._under_way.add(delivery_id)
        self._threads.submit(self._try, one)
        return None

    def _try(self, one: Delivery) -> None:
        try:
            self._send(one)
            self._deliveries.remove(one.delivery_id)
        except NotDeliveredError as error:
            self._fail(one, error)
        except Exception:  # noqa: BLE001 - the thread's boundary; what is kept is tried again
            _log.exception("delivery %s failed; trying again", one.delivery_id)
            self._queue.wake_at(_DELIVERY, one.delivery_id, self._clock.now() + RETRY_S)
        finally:
            with self._lock:
                self._under_way.discard(one.delivery_id)

    def _fail(self, one: Delivery, error: NotDeliveredError) -> None:
        if error.is_final or one.failures >= RETRIES:
            self._deliveries.remove(one.delivery_id)
            self._say(one, str(error))
            return
        due_at = self._clock.now() + RETRY_S
        self._deliveries.postpone(one.delivery_id, due_at)
        self._queue.wake_at(_DELIVERY, one.delivery_id, due_at)

    def _say(self, one: Delivery, why: str) -> None:
        """In the log group that SNS has for what never arrived."""
        *_, region, account, name = one.topic.split(":")
        line = {
            "status": "FAILURE",
            "notification": {
                "topicArn": one.topic,
                "messageId": one.headers["x-amz-sns-message-id"],
            },
            "delivery": {
                "destination": one.url,
                "attempts": one.failures + 1,
                "providerResponse": why,
            },
        }
        group = f"sns/{region}/{account}/{name}/Failure"
        write_line(self._log_streams, group, "deliveries", json.dumps(line))
