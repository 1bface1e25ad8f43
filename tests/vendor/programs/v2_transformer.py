"""Version 2 with batch transform."""

from botocore.exceptions import ClientError
from sagemaker.transformer import Transformer

transformer = Transformer(
    model_name="any",
    instance_count=1,
    instance_type="ml.m5.xlarge",
    output_path="s3://bucket/output",
    base_transform_job_name="any",
)
try:
    transformer.transform("s3://bucket/data", content_type="text/csv", wait=False)
except ClientError as error:
    print("error       ", error)
