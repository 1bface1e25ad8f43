"""An engine with the docker driver, an image that it runs, and what both leave with the daemon."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker

from intermodal_engine.drivers.containers.options import ENGINE_LABEL, engine_id
from tests.helpers.docker_image import derive, docker_client
from tests.helpers.engine import RunningEngine, running_engine
from tests.helpers.script_mode import BUCKET, ROLE

IMAGE = "intermodal-test/job:1"

TRAIN = """#!/usr/bin/python3
import json, sys
sys.stdout.reconfigure(line_buffering=True)
exec(json.loads(json.load(open("/opt/ml/input/config/hyperparameters.json"))["script"]))
"""
"""Runs the source that the job's hyperparameters hold."""

SERVE = """#!/usr/bin/python3
import http.server, json, os
MODELS = {}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        models = [{"modelName": name, "modelUrl": url} for name, url in MODELS.items()]
        self.answer(json.dumps({"models": models}).encode())
    def do_DELETE(self):
        del MODELS[self.path.split("/")[2]]
        self.answer(b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/models":
            asked = json.loads(body)
            MODELS[asked["model_name"]] = asked["url"]
            return self.answer(b"")
        is_one = self.path == "/invocations"
        folder = "/opt/ml/model" if is_one else MODELS[self.path.split("/")[2]]
        weights = open(f"{folder}/weights.txt").read()
        self.answer(body + f" {weights} {os.getuid()}".encode())
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
"""Answers what it was asked, with the model's weights and its own user; or serves many models."""


class DockerEngine:
    """A running engine and the daemon beside it."""

    def __init__(self, engine: RunningEngine, client: docker.APIClient) -> None:
        self.engine = engine
        self.client = client
        self.label = f"{ENGINE_LABEL}={engine_id(engine.home / 'driver')}"

    def running(self) -> list[str]:
        """Ids of the containers that run."""
        found = self.client.containers(filters={"label": self.label})
        return sorted(one["Id"] for one in found)

    def left(self) -> list[str]:
        """Everything that the daemon has of this engine's."""
        label = {"label": self.label}
        return [
            *(one["Names"][0] for one in self.client.containers(all=True, filters=label)),
            *(one["Name"] for one in self.client.networks(filters=label)),
            *(one["Name"] for one in self.client.volumes(filters=label)["Volumes"] or ()),
        ]

    def clean_up(self) -> None:
        """What a test that failed left."""
        for container in self.client.containers(all=True, filters={"label": self.label}):
            self.client.remove_container(container["Id"], force=True, v=True)
        for network in self.client.networks(filters={"label": self.label}):
            self.client.remove_network(network["Name"])
        for volume in self.client.volumes(filters={"label": self.label})["Volumes"] or ():
            self.client.remove_volume(volume["Name"])


@contextmanager
def docker_engine() -> Iterator[DockerEngine]:
    """An engine with a bucket; nothing of it is left afterwards."""
    client = docker_client()
    derive(client, IMAGE, train=TRAIN, serve=SERVE)
    with running_engine("--driver=docker") as engine:
        docker_engine = DockerEngine(engine, client)
        try:
            engine.client("s3").create_bucket(Bucket=BUCKET)
            yield docker_engine
        finally:
            docker_engine.clean_up()
            client.close()


def job(name: str, script: str, **changes: Any) -> dict[str, Any]:
    """A CreateTrainingJob request that runs a script in the test image."""
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "HyperParameters": {"script": json.dumps(script)},
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/output"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
            **changes.pop("ResourceConfig", {}),
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 300},
        **changes,
    }


def deploy(engine: RunningEngine, name: str, model_uri: str, count: int = 2) -> None:
    """Creates an endpoint of the test image; waits for nothing."""
    sagemaker = engine.client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": model_uri}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": count,
        "InstanceType": "ml.m5.large",
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def shown_instances(engine: RunningEngine, name: str) -> list[dict[str, Any]]:
    """What `intermodal status` shows of a job or an endpoint."""
    status = json.loads(engine.cli("status", "--json").stdout)
    return [one for one in status["instances"] if one["name"] == name]
