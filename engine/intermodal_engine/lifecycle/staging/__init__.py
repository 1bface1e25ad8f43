"""Input channels of a job: which objects an instance gets, and how they come into `/opt/ml`."""

from intermodal_engine.lifecycle.staging.errors import DataMissingError
from intermodal_engine.lifecycle.staging.inputs import FileSystem, Input
from intermodal_engine.lifecycle.staging.refusal import refusal
from intermodal_engine.lifecycle.staging.stager import ChannelStager

__all__ = ["ChannelStager", "DataMissingError", "FileSystem", "Input", "refusal"]
