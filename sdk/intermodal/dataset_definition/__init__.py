"""Inputs of processing jobs that are queries."""

from intermodal.dataset_definition.inputs import (
    AthenaDatasetDefinition as AthenaDatasetDefinition,
)
from intermodal.dataset_definition.inputs import DatasetDefinition as DatasetDefinition
from intermodal.dataset_definition.inputs import (
    RedshiftDatasetDefinition as RedshiftDatasetDefinition,
)
