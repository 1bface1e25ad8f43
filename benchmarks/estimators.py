"""The estimators whose jobs are measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intermodal import LocalSession
    from intermodal.pytorch import PyTorch


def estimator(session: "LocalSession", script: Path, **changes: Any) -> "PyTorch":
    """One instance that runs one script.

    Args:
        session: with an engine of the benchmark's own.
        script: in a folder with nothing else.
        changes: further arguments, or others than ours.
    """
    from intermodal.pytorch import PyTorch

    arguments = {
        "role": "arn:aws:iam::123456789012:role/bench",
        "framework_version": "2.13.0",
        "instance_count": 1,
        "instance_type": "ml.m5.xlarge",
        **changes,
    }
    return PyTorch(
        entry_point=script.name,
        source_dir=str(script.parent),
        sagemaker_session=session,
        **arguments,
    )
