"""Version 3 trains with torchrun on two hosts, and its model is built and deployed."""

import json
from pathlib import Path

from sagemaker.core.training.configs import SourceCode
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData
from sagemaker.train.distributed import Torchrun

SOURCE = str(Path(__file__).parent / "source")
REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com"

Path("data").mkdir()
Path("data", "numbers.csv").write_text("1,2\n")
trainer = ModelTrainer(
    training_image=f"{REGISTRY}/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker",
    source_code=SourceCode(source_dir=SOURCE, entry_script="two_hosts.py"),
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=2),
    distributed=Torchrun(process_count_per_node=1),
    base_job_name="two-hosts",
)
trainer.train(input_data_config=[InputData(channel_name="train", data_source="data")])
job = trainer._latest_training_job

builder = ModelBuilder(
    image_uri=f"{REGISTRY}/pytorch-inference:2.3.0-cpu-py311-ubuntu20.04-sagemaker",
    s3_model_data_url=job.model_artifacts.s3_model_artifacts,
    source_code=SourceCode(source_dir=SOURCE, entry_script="train.py"),
    instance_type="ml.m5.large",
)
builder.build(model_name="built")
endpoint = builder.deploy(endpoint_name="built", initial_instance_count=1)
answer = endpoint.invoke(
    body=json.dumps([1.0, 2.0]), content_type="application/json", accept="application/json"
)

print()
print("job         ", job.training_job_name)
print("prediction  ", answer.body.read().decode())
