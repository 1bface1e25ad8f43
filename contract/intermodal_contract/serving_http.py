"""What a serving container promises over HTTP, and what InvokeEndpoint carries to it.

AWS pages: your-algorithms-inference-code (container), API_runtime_InvokeEndpoint (headers).
"""

PORT = 8080
"""Port that `serve` listens on, unless `SAGEMAKER_BIND_TO_PORT` names another."""

PING_PATH = "/ping"
"""GET: 200 when the container can take invocations."""

INVOCATIONS_PATH = "/invocations"
"""POST: one inference request."""

BIDIRECTIONAL_STREAM_PATH = "/invocations-bidirectional-stream"
"""GET with an upgrade to WebSocket: messages both ways while the connection lasts."""

BIDIRECTIONAL_STREAM_LABEL = "com.amazonaws.sagemaker.capabilities.bidirectional-streaming"
"""Label of an image, `true` if its containers take WebSockets."""

MODELS_PATH = "/models"
"""Multi-model containers: load, list, unload."""

MODELS_FOLDER = "models"
"""Below `/opt/ml`: where a multi-model container finds the models that it shall load."""

EXECUTION_PARAMETERS_PATH = "/execution-parameters"
"""GET: how batch transform shall feed the container."""

METRICS_PATH = "/metrics"
"""GET: counts and times in Prometheus' text format; our own, not AWS's."""

PING_TIMEOUT_S = 2.0
"""The service counts a `/ping` without an answer in this time as failed."""

INVOCATION_TIMEOUT_S = 60.0
"""Time that a container has for one invocation."""

STREAM_TIMEOUT_S = 480.0
"""Time that a container has for a response that it streams."""

MAX_PAYLOAD_BYTES = 25 * 2**20
"""Largest request body that InvokeEndpoint and `serve` take by default."""

CUSTOM_ATTRIBUTES_HEADER = "X-Amzn-SageMaker-Custom-Attributes"
"""Up to 1024 visible characters, passed both ways."""

TARGET_MODEL_HEADER = "X-Amzn-SageMaker-Target-Model"
"""Model of a multi-model container."""

TARGET_VARIANT_HEADER = "X-Amzn-SageMaker-Target-Variant"
"""Variant that shall answer, past the weights."""

TARGET_CONTAINER_HEADER = "X-Amzn-SageMaker-Target-Container-Hostname"
"""Container of a multi-container endpoint."""

INFERENCE_ID_HEADER = "X-Amzn-SageMaker-Inference-Id"
"""The client's own id of the request."""

INFERENCE_COMPONENT_HEADER = "X-Amzn-SageMaker-Inference-Component"
"""Inference component that shall answer."""

ENABLE_EXPLANATIONS_HEADER = "X-Amzn-SageMaker-Enable-Explanations"
"""Expression that asks for explanations."""

SESSION_ID_HEADER = "X-Amzn-SageMaker-Session-Id"
"""Stateful session that the request belongs to, or `NEW_SESSION`."""

NEW_SESSION = "NEW_SESSION"
"""In place of a session's id: the client asks for a session."""

NEW_SESSION_ID_HEADER = "X-Amzn-SageMaker-New-Session-Id"
"""In an answer: id and expiry of the session that was opened."""

CLOSED_SESSION_ID_HEADER = "X-Amzn-SageMaker-Closed-Session-Id"
"""In an answer: id of the session that was closed."""

INVOKED_VARIANT_HEADER = "x-Amzn-Invoked-Production-Variant"
"""In an answer of the service: variant that answered."""

REQUEST_ID_HEADER = "X-Amzn-RequestId"
"""In an answer: id that the logs carry too."""

MAX_CUSTOM_ATTRIBUTES_CHARACTERS = 1024
"""Length limit of the custom attributes."""
