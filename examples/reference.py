"""The reference program: data goes to S3, MXNet trains on it, and two instances serve the model.

    python examples/reference.py                   # on this machine: no docker, no AWS account
    python examples/reference.py --aws --bucket YOUR_BUCKET --role arn:aws:iam::...:role/...

It is what people wrote for the vendor's SDK, argument names of its first version included: only the
imports and the session are ours. That version of MXNet has no images and no wheels any more; what
runs in its place is told at the end.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from intermodal import LocalSession, Session, get_execution_role
from intermodal.mxnet import MXNet

SOURCE = Path(__file__).parent / "mxnet_digits"
WANTED_ACCURACY = 0.95


def main() -> int:
    arguments = parse_arguments()
    # The bucket is made if it is not there.
    session = (Session if arguments.aws else LocalSession)(default_bucket=arguments.bucket)
    role = arguments.role or get_execution_role(session)

    step("1  Data goes to S3: 1,797 handwritten digits (UCI), every fifth one held out")
    pixels, digits = load_digits(return_X_y=True)
    held_out = np.arange(len(digits)) % 5 == 0
    with tempfile.TemporaryDirectory() as folder:
        rows = np.column_stack([digits, pixels])[~held_out]
        np.savetxt(Path(folder) / "digits.csv", rows, delimiter=",", fmt="%d")
        print(session.upload_data(path=folder, key_prefix="data/train"))

    step("2  Train: instances start, run examples/mxnet_digits/train.py, and go")
    estimator = MXNet(
        "train.py",
        source_dir=str(SOURCE),
        role=role,
        train_instance_count=1,
        train_instance_type="ml.p3.2xlarge",
        framework_version="1.4.1",
        sagemaker_session=session,
    )
    estimator.fit(f"s3://{arguments.bucket}/data/train")

    step("3  Deploy: two instances in two Availability Zones")
    predictor = estimator.deploy(initial_instance_count=2, instance_type="ml.m5.xlarge")
    endpoint = predictor.endpoint_name

    try:
        step("4  Predict the held-out digits over HTTP: ten scores for each image")
        scores = np.array(predictor.predict(pixels[held_out].tolist()))
        accuracy = float(np.mean(scores.argmax(axis=1) == digits[held_out]))
        zones = "not shown by AWS" if arguments.aws else ", ".join(zones_of(endpoint))
        trained = logged(session, "TrainingJobs", f"{estimator.jobs[-1].name}/", "mxnet worker")
        served = logged(session, f"Endpoints/{endpoint}", "AllTraffic/", "loaded mxnet")
    finally:
        predictor.delete_model()
        predictor.delete_endpoint()
        session.sagemaker_client.get_waiter("endpoint_deleted").wait(
            EndpointName=endpoint, WaiterConfig={"Delay": 1, "MaxAttempts": 600}
        )

    step("What happened")
    print(f"accuracy      {accuracy:.3f} (at least {WANTED_ACCURACY} wanted)")
    print(f"zones         {zones}")
    print(f"asked for     mxnet {estimator.framework_version}")
    print(f"trained by    {trained}")
    print(f"served by     {served}")
    print(f"model.tar.gz  {estimator.model_data}")
    print("the endpoint is deleted again")
    return 0 if accuracy >= WANTED_ACCURACY else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aws", action="store_true", help="run on AWS instead of this machine")
    parser.add_argument("--bucket", default="mybucket", help="on AWS one of your own")
    parser.add_argument("--role", help="ARN of the execution role (AWS)")
    return parser.parse_args()


def step(title: str) -> None:
    print(f"\n=== {title}", flush=True)


def logged(session: Session, group: str, streams: str, words: str) -> str:
    """What log streams say with all of these words in it; what several instances say, once."""
    found = session.client("logs").filter_log_events(
        logGroupName=f"/aws/sagemaker/{group}", logStreamNamePrefix=streams, filterPattern=words
    )
    lines = {event["message"].rpartition("serve: ")[2] for event in found["events"]}
    return "; ".join(sorted(lines)) or "not told"


def zones_of(endpoint: str) -> list[str]:
    """Where the engine has put the endpoint's instances."""
    intermodal = Path(sys.executable).with_name("intermodal")
    output = subprocess.run([intermodal, "status", "--json"], check=True, stdout=subprocess.PIPE)
    instances = json.loads(output.stdout)["instances"]
    return sorted(one["zone"] for one in instances if one["name"] == endpoint)


if __name__ == "__main__":
    sys.exit(main())
