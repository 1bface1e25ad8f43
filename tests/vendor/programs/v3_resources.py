"""Version 3 deploys by its resource classes: a model archive that somebody has."""

import sys

from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant

REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com"

model = Model.create(
    model_name="resources",
    primary_container=ContainerDefinition(
        image=f"{REGISTRY}/pytorch-inference:2.3.0-cpu-py311-ubuntu20.04-sagemaker",
        model_data_url=sys.argv[1],
    ),
    execution_role_arn=get_execution_role(),
)
config = EndpointConfig.create(
    endpoint_config_name="resources",
    production_variants=[
        ProductionVariant(
            variant_name="AllTraffic",
            model_name="resources",
            initial_instance_count=2,
            instance_type="ml.m5.large",
        )
    ],
)
endpoint = Endpoint.create(endpoint_name="resources", endpoint_config_name="resources")
endpoint.wait_for_status("InService", poll=1)
answer = endpoint.invoke(body="hello", content_type="text/plain", accept="text/plain")
print()
print("prediction  ", answer.body.read().decode())
print("bucket      ", Session().default_bucket())
endpoint.delete()
endpoint.wait_for_delete(poll=1)
config.delete()
model.delete()
print()
print("endpoints   ", [one.endpoint_name for one in Endpoint.get_all()])
