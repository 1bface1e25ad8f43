"""An asynchronous endpoint, as something to call."""

import time
import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from intermodal.async_inference import AsyncInferenceResponse, NotYetError, WaiterConfig
from intermodal.predictor import Predictor
from intermodal.source import code_place
from intermodal_contract.channel import S3Uri, parse_s3_uri


class AsyncPredictor:
    """Sends data by way of S3 and fetches the answers from there.

    What it does not define itself (`update_endpoint`, `delete_endpoint`, `delete_model`,
    `autoscale`, data capture, `serializer`, …) is the predictor's.

    Args:
        predictor: of the same endpoint; its serializer and deserializer are used.
        name: what uploads are named after; the endpoint's name where `None`.
    """

    def __init__(self, predictor: Predictor, name: str | None = None) -> None:
        self.predictor = predictor
        self.name = name
        self.endpoint_name = predictor.endpoint_name
        self.sagemaker_session = predictor.sagemaker_session

    def __getattr__(self, name: str) -> Any:
        if name == "predictor":
            raise AttributeError(name)
        return getattr(self.predictor, name)

    @property
    def serializer(self) -> Any:
        """Data to body."""
        return self.predictor.serializer

    @serializer.setter
    def serializer(self, serializer: Any) -> None:
        self.predictor.serializer = serializer

    @property
    def deserializer(self) -> Any:
        """Body to data."""
        return self.predictor.deserializer

    @deserializer.setter
    def deserializer(self, deserializer: Any) -> None:
        self.predictor.deserializer = deserializer

    def predict(
        self,
        data: Any = None,
        input_path: str | None = None,
        initial_args: Mapping[str, Any] | None = None,
        inference_id: str | None = None,
        waiter_config: WaiterConfig | None = None,
    ) -> Any:
        """Ask the endpoint and wait for the answer; see `predict_async`.

        Args:
            data: what the serializer takes.
            input_path: where the data lies in S3, or is put.
            initial_args: further arguments of boto3's `invoke_endpoint_async`.
            inference_id: for data capture.
            waiter_config: how long to wait; 15 minutes where `None`.

        Raises:
            PollingTimeoutError: the answer was not there in time.
            AsyncInferenceModelError: the model failed, in its own words.
        """
        answer = self.predict_async(data, input_path, initial_args, inference_id)
        return answer.get_result(waiter_config or WaiterConfig())

    def predict_async(
        self,
        data: Any = None,
        input_path: str | None = None,
        initial_args: Mapping[str, Any] | None = None,
        inference_id: str | None = None,
    ) -> AsyncInferenceResponse:
        """Ask the endpoint; the answer is fetched with `get_result()`.

        Raises:
            ValueError: neither data nor its place is given.
        """
        if data is None and input_path is None:
            raise ValueError("`data` or `input_path` is missing: what is to be predicted?")
        if data is not None:
            input_path = self._put(data, input_path)
        request = {
            "EndpointName": self.endpoint_name,
            "Accept": ", ".join(self.predictor.accept),
            **({"InferenceId": inference_id} if inference_id else {}),
            **(initial_args or {}),
            "InputLocation": input_path,
        }
        response = self.sagemaker_session.sagemaker_runtime_client.invoke_endpoint_async(**request)
        return AsyncInferenceResponse(
            self, response["OutputLocation"], response.get("FailureLocation")
        )

    def answer_at(self, uri: str) -> Any:
        """What the deserializer makes of an object.

        Raises:
            NotYetError: there is no such object yet.
        """
        response = self._object(uri)
        kind = response.get("ContentType", "application/octet-stream")
        return self.deserializer.deserialize(response["Body"], kind)

    def read(self, uri: str) -> bytes:
        """An object's bytes.

        Raises:
            NotYetError: there is no such object yet.
        """
        with closing(self._object(uri)["Body"]) as body:
            return bytes(body.read())

    def _object(self, uri: str) -> Any:
        place = parse_s3_uri(uri)
        client = self.sagemaker_session.client("s3")
        owner = self.sagemaker_session.owner_of(place.bucket)
        try:
            return client.get_object(Bucket=place.bucket, Key=place.key, **owner)
        except client.exceptions.NoSuchKey as error:
            raise NotYetError(uri) from error

    def _put(self, data: Any, input_path: str | None) -> str:
        session = self.sagemaker_session
        place = parse_s3_uri(input_path) if input_path else self._new_place()
        session.client("s3").put_object(
            Body=self.serializer.serialize(data),
            Bucket=place.bucket,
            Key=place.key,
            ContentType=self.serializer.CONTENT_TYPE,
            **session.owner_of(place.bucket),
        )
        return str(place)

    def _new_place(self) -> S3Uri:
        session = self.sagemaker_session
        now_s = time.time()
        minute = time.strftime("%y%m%d-%H%M", time.localtime(now_s))
        moment = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(now_s))
        return code_place(
            session.default_bucket(),
            session.default_bucket_prefix or "",
            "async-endpoint-inputs",
            f"{(self.name or self.endpoint_name)[: 63 - len(minute) - 1]}-{minute}",
            f"{moment}-{int(now_s * 1000) % 1000:03d}-{uuid.uuid4()}",
        )
