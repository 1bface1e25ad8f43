"""Version 2 with an image of one's own, and an entry point of its own."""

import sagemaker
from sagemaker.estimator import Estimator

estimator = Estimator(
    image_uri="intermodal/python:3",
    role=sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.xlarge",
    hyperparameters={"epochs": 3},
    container_entry_point=["sh", "-c"],
    container_arguments=["cp /opt/ml/input/config/hyperparameters.json /opt/ml/model/"],
)
estimator.fit(logs=False)

print()
print("model_data  ", estimator.model_data)
