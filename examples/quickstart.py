"""From data to predictions in one file: train on real handwritten digits, deploy, invoke, break.

    make quickstart                                # on this machine: no docker, no AWS account
    python examples/quickstart.py --aws --role arn:aws:iam::...:role/...    # the same on AWS

It is ordinary SDK code. The session is the only difference between here and AWS: `LocalSession`
talks to the engine on this machine, `Session` to the account that boto3 finds.
"""

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from sklearn.datasets import load_digits

from intermodal import LocalSession, Session, get_execution_role
from intermodal.deserializers import JSONDeserializer
from intermodal.pytorch import PyTorch
from intermodal.serializers import CSVSerializer

HERE = Path(__file__).parent
WANTED_ACCURACY = 0.95
CLIENTS = 4
KILL_AFTER_S = 1.0
LOAD_S = 5.0


def main() -> int:
    arguments = parse_arguments()
    session = Session() if arguments.aws else LocalSession()
    role = arguments.role or get_execution_role(session)

    step("1  Real data: 1,797 handwritten digits (UCI), every fifth one held out")
    pixels, digits = load_digits(return_X_y=True)
    held_out = np.arange(len(digits)) % 5 == 0
    with tempfile.TemporaryDirectory() as folder:
        train = np.column_stack([digits, pixels])[~held_out]
        np.savetxt(Path(folder) / "train.csv", train, delimiter=",", fmt="%d")
        train_uri = session.upload_data(path=folder, key_prefix="digits/train")
    print(f"{len(train)} rows in {train_uri}")

    step("2  Train: an instance starts, runs examples/digits/train.py, and goes")
    estimator = PyTorch(
        entry_point="train.py",
        source_dir=str(HERE / "digits"),
        role=role,
        instance_count=1,
        instance_type="ml.m5.xlarge",
        framework_version=arguments.framework_version,
        hyperparameters={"epochs": 10, "batch-size": 64},
        sagemaker_session=session,
    )
    estimator.fit({"train": train_uri})

    step("3  Deploy: two instances in two zones")
    predictor = estimator.deploy(
        initial_instance_count=2,
        instance_type="ml.m5.xlarge",
        serializer=CSVSerializer(),
        deserializer=JSONDeserializer(),
    )

    try:
        step("4  Predict the held-out digits through the Predictor")
        answer = predictor.predict(pixels[held_out].astype(int))
        accuracy = float(np.mean(np.array(answer["digits"]) == digits[held_out]))
        print(f"accuracy {accuracy:.3f} on {held_out.sum()} digits that training never saw")

        step("5  The same over plain signed HTTP, with no SDK")
        body = ",".join(str(int(value)) for value in pixels[0]).encode()
        http_client = SignedHttp(session, predictor.endpoint_name)
        status, text = http_client.post(body)
        print(f"HTTP {status}: {text}   (it is a {digits[0]})")

        step(f"6  {CLIENTS} clients send without a pause, and one of the two instances dies")
        load = Load(session, predictor.endpoint_name, body)
        load.start()
        time.sleep(KILL_AFTER_S)
        zones = "not shown by AWS" if arguments.aws else kill_one_instance(predictor.endpoint_name)
        load.finish()
        replaced = (
            "by AWS" if arguments.aws else f"{len(instances_of(predictor.endpoint_name))} again"
        )
    finally:
        predictor.delete_model()
        predictor.delete_endpoint()
        session.sagemaker_client.get_waiter("endpoint_deleted").wait(
            EndpointName=predictor.endpoint_name, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
        )

    step("What happened")
    print(f"accuracy        {accuracy:.3f} (at least {WANTED_ACCURACY} wanted)")
    print(f"zones           {zones}")
    print(f"instances       {replaced}")
    print(
        f"latency         p50 {load.percentile_ms(50):.1f} ms, p99 {load.percentile_ms(99):.1f} ms"
    )
    print(f"requests        {len(load.latencies_s)} answered, {len(load.failures)} failed")
    for failure in load.failures[:3]:
        print(f"                {failure}")
    print(f"model.tar.gz    {estimator.model_data}")
    if not arguments.aws:
        print(f"                {local_path(str(estimator.model_data))}")
    print("the endpoint is deleted again")

    step("What to try next")
    print("edit            examples/digits/train.py, then `make quickstart` again")
    print("your own data   session.upload_data(path=..., key_prefix=...), then fit() on its URI")
    if not arguments.aws:
        print(f"any AWS client  export INTERMODAL_HOME={engine_status()['home']}")
        print("                . .venv/bin/activate; intermodal up --detach")
        print('                eval "$(intermodal env)"; aws s3 ls; intermodal down')
    print("on AWS          python examples/quickstart.py --aws --role YOUR_ROLE_ARN")
    return 0 if accuracy >= WANTED_ACCURACY else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aws", action="store_true", help="run on AWS instead of this machine")
    parser.add_argument("--role", help="ARN of the execution role (AWS)")
    parser.add_argument("--framework-version", default="2.13.0", help="release of PyTorch")
    return parser.parse_args()


def step(title: str) -> None:
    print(f"\n=== {title}", flush=True)


class SignedHttp:
    """One kept connection to one endpoint, each request signed as AWS asks (SigV4)."""

    def __init__(self, session: Session, endpoint_name: str) -> None:
        client = session.client("sagemaker-runtime")
        self.url = f"{client.meta.endpoint_url}/endpoints/{endpoint_name}/invocations"
        self.signer = SigV4Auth(
            session.boto_session.get_credentials(), "sagemaker", client.meta.region_name
        )
        where = urlsplit(self.url)
        is_tls = where.scheme == "https"
        connection = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        self.connection = connection(where.netloc, timeout=60)

    def post(self, body: bytes) -> tuple[int, str]:
        """Sends one CSV row; returns the HTTP status and the text of the answer."""
        request = AWSRequest("POST", self.url, headers={"Content-Type": "text/csv"}, data=body)
        self.signer.add_auth(request)
        self.connection.request("POST", urlsplit(self.url).path, body, dict(request.headers))
        response = self.connection.getresponse()
        return response.status, response.read().decode()


class Load:
    """Clients that invoke an endpoint one request after another for some seconds, no retries."""

    def __init__(self, session: Session, endpoint_name: str, body: bytes) -> None:
        self.latencies_s: list[float] = []
        self.failures: list[str] = []
        self.threads = [
            threading.Thread(target=self.send, args=(SignedHttp(session, endpoint_name), body))
            for _ in range(CLIENTS)
        ]

    def start(self) -> None:
        """Sets the clients off."""
        self.end = time.monotonic() + LOAD_S
        for thread in self.threads:
            thread.start()

    def finish(self) -> None:
        """Waits until the seconds are over."""
        for thread in self.threads:
            thread.join()

    def send(self, client: SignedHttp, body: bytes) -> None:
        """What one client does."""
        while (started := time.monotonic()) < self.end:
            try:
                status, text = client.post(body)
            except (OSError, http.client.HTTPException) as error:
                status, text = 0, repr(error)
                client.connection.close()
            if status == http.HTTPStatus.OK:
                self.latencies_s.append(time.monotonic() - started)
            else:
                self.failures.append(f"HTTP {status}: {text}")

    def percentile_ms(self, percent: int) -> float:
        """The latency that `percent` of the answered requests stayed below."""
        return 1000 * statistics.quantiles(self.latencies_s, n=100)[percent - 1]


def engine_status() -> dict[str, Any]:
    intermodal = Path(sys.executable).with_name("intermodal")
    output = subprocess.run([intermodal, "status", "--json"], check=True, stdout=subprocess.PIPE)
    status: dict[str, Any] = json.loads(output.stdout)
    return status


def instances_of(endpoint_name: str) -> list[dict[str, Any]]:
    return [one for one in engine_status()["instances"] if one["name"] == endpoint_name]


def kill_one_instance(endpoint_name: str) -> str:
    """Does to one of the endpoint's instances what a power cut does; returns the zones."""
    instances = instances_of(endpoint_name)
    victim = instances[0]
    os.kill(victim["pid"], signal.SIGKILL)
    print(f"killed process {victim['pid']} in zone {victim['zone']}")
    return ", ".join(sorted(one["zone"] for one in instances))


def local_path(uri: str) -> Path:
    """Where the engine keeps an object: buckets are folders."""
    return Path(str(engine_status()["home"]), "s3", *uri.removeprefix("s3://").split("/"))


if __name__ == "__main__":
    sys.exit(main())
