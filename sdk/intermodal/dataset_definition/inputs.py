"""What a processing job reads by a query, from Redshift or Athena."""

from dataclasses import dataclass
from typing import Any

from intermodal.processing_data import S3Input as S3Input


@dataclass
class RedshiftDatasetDefinition:
    """A query to Redshift, whose answer goes to S3 for the job.

    Attributes:
        cluster_id: the cluster.
        database: in that cluster.
        db_user: who asks.
        query_string: the query.
        cluster_role_arn: what the cluster acts as.
        output_s3_uri: where the answer goes.
        kms_key_id: encrypts it.
        output_format: `PARQUET` or `CSV`.
        output_compression: as in `GZIP`, `ZSTD`, `BZIP2`, `SNAPPY`.
    """

    cluster_id: str | None = None
    database: str | None = None
    db_user: str | None = None
    query_string: str | None = None
    cluster_role_arn: str | None = None
    output_s3_uri: str | None = None
    kms_key_id: str | None = None
    output_format: str | None = None
    output_compression: str | None = None

    def request(self) -> dict[str, Any]:
        """`RedshiftDatasetDefinition` as CreateProcessingJob takes it."""
        return _present(
            ClusterId=self.cluster_id,
            Database=self.database,
            DbUser=self.db_user,
            QueryString=self.query_string,
            ClusterRoleArn=self.cluster_role_arn,
            OutputS3Uri=self.output_s3_uri,
            KmsKeyId=self.kms_key_id,
            OutputFormat=self.output_format,
            OutputCompression=self.output_compression,
        )


@dataclass
class AthenaDatasetDefinition:
    """A query to Athena, whose answer goes to S3 for the job.

    Attributes:
        catalog: the data catalogue.
        database: in that catalogue.
        query_string: the query.
        output_s3_uri: where the answer goes.
        work_group: which runs the query.
        kms_key_id: encrypts the answer.
        output_format: as in `PARQUET`, `ORC`, `AVRO`, `JSON`, `TEXTFILE`.
        output_compression: as in `GZIP`, `SNAPPY`, `ZLIB`.
    """

    catalog: str | None = None
    database: str | None = None
    query_string: str | None = None
    output_s3_uri: str | None = None
    work_group: str | None = None
    kms_key_id: str | None = None
    output_format: str | None = None
    output_compression: str | None = None

    def request(self) -> dict[str, Any]:
        """`AthenaDatasetDefinition` as CreateProcessingJob takes it."""
        return _present(
            Catalog=self.catalog,
            Database=self.database,
            QueryString=self.query_string,
            OutputS3Uri=self.output_s3_uri,
            WorkGroup=self.work_group,
            KmsKeyId=self.kms_key_id,
            OutputFormat=self.output_format,
            OutputCompression=self.output_compression,
        )


@dataclass
class DatasetDefinition:
    """`ProcessingInput(dataset_definition=…)`: a query instead of objects.

    Attributes:
        data_distribution_type: `ShardedByS3Key` gives every instance its share of the answer,
            `FullyReplicated` all of it.
        input_mode: `File` or `Pipe`.
        local_path: the folder in the container, below `/opt/ml/processing/`.
        redshift_dataset_definition: the query, to Redshift.
        athena_dataset_definition: or to Athena.
    """

    data_distribution_type: str = "ShardedByS3Key"
    input_mode: str = "File"
    local_path: str | None = None
    redshift_dataset_definition: RedshiftDatasetDefinition | None = None
    athena_dataset_definition: AthenaDatasetDefinition | None = None

    def request(self) -> dict[str, Any]:
        """`DatasetDefinition` as CreateProcessingJob takes it."""
        redshift, athena = self.redshift_dataset_definition, self.athena_dataset_definition
        return _present(
            DataDistributionType=self.data_distribution_type,
            InputMode=self.input_mode,
            LocalPath=self.local_path,
            RedshiftDatasetDefinition=redshift.request() if redshift else None,
            AthenaDatasetDefinition=athena.request() if athena else None,
        )


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
