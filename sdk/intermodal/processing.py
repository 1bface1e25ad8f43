"""Processing jobs: a program over data in S3, on instances that live as long as it runs."""

from typing import TYPE_CHECKING, Any

from intermodal.network import NetworkConfig
from intermodal.processing_base import ProcessingJob, Processor
from intermodal.processing_data import ProcessingInput, ProcessingOutput, S3Input
from intermodal.script_processing import ScriptProcessor

if TYPE_CHECKING:
    from intermodal.framework_processing import FrameworkProcessor

__all__ = [
    "FrameworkProcessor",
    "NetworkConfig",
    "ProcessingInput",
    "ProcessingJob",
    "ProcessingOutput",
    "Processor",
    "S3Input",
    "ScriptProcessor",
]


def __getattr__(name: str) -> Any:
    # It needs the estimators, which need twice as long to import as all of this.
    if name == "FrameworkProcessor":
        from intermodal.framework_processing import FrameworkProcessor

        return FrameworkProcessor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
