"""Names of the environment variables that two parts agree on.

What `train` sets for the user's script is told in docs/reference/environment.md; here are the names
that one part writes and another reads.
"""

BASE_DIR = "SAGEMAKER_BASE_DIR"
"""Folder that holds what `/opt/ml` would hold, where `/opt/ml` itself had to be re-rooted."""

PROGRAM = "SAGEMAKER_PROGRAM"
"""Entry point; the hyperparameter `sagemaker_program` wins. In serving: the inference module."""

SUBMIT_DIRECTORY = "SAGEMAKER_SUBMIT_DIRECTORY"
"""Where the user's source is; the hyperparameter `sagemaker_submit_directory` wins."""

CONTAINER_LOG_LEVEL = "SAGEMAKER_CONTAINER_LOG_LEVEL"
"""Level of our programs' own log lines, as Python's `logging` numbers them: 10, 20, 30, 40."""

REGION = "SAGEMAKER_REGION"
"""Region as the vendor's programs name it."""

AWS_REGION = "AWS_REGION"
"""Region as AWS's SDKs read it."""

AWS_DEFAULT_REGION = "AWS_DEFAULT_REGION"
"""Region as boto3 reads it."""

AWS_ENDPOINT_URL = "AWS_ENDPOINT_URL"
"""Where all AWS services are, if not at AWS."""

TRAINING_JOB_NAME = "TRAINING_JOB_NAME"
"""Set by the service in every training container."""

TRAINING_JOB_ARN = "TRAINING_JOB_ARN"
"""Set by the service in every training container."""

WARM_POOL_CACHE = "SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY"
"""Set by the service for a job with a warm pool: the folder that the next job like it finds."""

BIND_TO_PORT = "SAGEMAKER_BIND_TO_PORT"
"""Port that `serve` listens on instead of 8080."""

BIND_TO_HOST = "SAGEMAKER_BIND_TO_HOST"
"""Address that `serve` listens on instead of 0.0.0.0. A name of intermodal's own."""

SAFE_PORT_RANGE = "SAGEMAKER_SAFE_PORT_RANGE"
"""`first-last`: ports that a serving container may take for itself."""

MULTI_MODEL = "SAGEMAKER_MULTI_MODEL"
"""`true` where one serving container holds many models."""

MODEL_SERVER_WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"
"""How many worker processes `serve` starts."""

NUM_CPUS = "SAGEMAKER_NUM_CPUS"
"""Cores that a serving container may use, where that is less than the machine has."""

MODEL_SERVER_TIMEOUT = "SAGEMAKER_MODEL_SERVER_TIMEOUT"
"""Seconds that one inference may take."""

DEFAULT_INVOCATIONS_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
"""Content type of an answer whose request has no `Accept`."""

HOST_WAIT_S = "INTERMODAL_HOST_WAIT_S"
"""Seconds that `train` waits for the other hosts' names to resolve; 300 by default."""

MASTER_PORT = "INTERMODAL_MASTER_PORT"
"""Port of the first host for rendezvous, where 7777 cannot be had."""

MPI_SECRET = "INTERMODAL_MPI_SECRET"  # noqa: S105 - the variable's name
"""Any text that only the hosts of the job know; they prove it to each other before MPI starts."""

STUDIO_LOCAL_MODE = "SM_STUDIO_LOCAL_MODE"
"""`true`: do not wait for host names (the vendor's name for it)."""
