"""A thin SDK for training and serving in containers, on AWS or on the local engine.

The names are those of the vendor's SDK v2. Everything below is loaded when it is first used,
and boto3 when a session first needs a client.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from intermodal import image_uris as image_uris
    from intermodal.estimator import Estimator as Estimator
    from intermodal.inputs import TrainingInput as TrainingInput
    from intermodal.local import LocalSession as LocalSession
    from intermodal.model import Model as Model
    from intermodal.model_metrics import FileSource as FileSource
    from intermodal.model_metrics import MetricsSource as MetricsSource
    from intermodal.model_metrics import ModelMetrics as ModelMetrics
    from intermodal.model_package import ModelPackage as ModelPackage
    from intermodal.multidatamodel import MultiDataModel as MultiDataModel
    from intermodal.pipeline import PipelineModel as PipelineModel
    from intermodal.predictor import Predictor as Predictor
    from intermodal.production_variants import container_def as container_def
    from intermodal.production_variants import pipeline_container_def as pipeline_container_def
    from intermodal.production_variants import production_variant as production_variant
    from intermodal.session import Session as Session
    from intermodal.session import get_execution_role as get_execution_role

_HOMES = {
    "Estimator": "estimator",
    "FileSource": "model_metrics",
    "LocalSession": "local",
    "MetricsSource": "model_metrics",
    "Model": "model",
    "ModelMetrics": "model_metrics",
    "ModelPackage": "model_package",
    "MultiDataModel": "multidatamodel",
    "PipelineModel": "pipeline",
    "Predictor": "predictor",
    "Session": "session",
    "TrainingInput": "inputs",
    "container_def": "production_variants",
    "get_execution_role": "session",
    "pipeline_container_def": "production_variants",
    "production_variant": "production_variants",
}
_RENAMED = {"s3_input": "TrainingInput", "RealTimePredictor": "Predictor"}
_MODULES = frozenset(
    {
        "async_inference",
        "deserializers",
        "drift_check_baselines",
        "errors",
        "estimator",
        "huggingface",
        "image_uris",
        "inputs",
        "iterators",
        "local",
        "metadata_properties",
        "model",
        "model_life_cycle",
        "model_metrics",
        "model_monitor",
        "multidatamodel",
        "mxnet",
        "network",
        "parameter",
        "pipeline",
        "predictor",
        "predictor_async",
        "processing",
        "pytorch",
        "s3",
        "serializers",
        "serverless",
        "session",
        "sklearn",
        "tensorflow",
        "transformer",
        "tuner",
        "xgboost",
    }
)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"intermodal.{_HOMES[name]}"), name)
    if name in _RENAMED:
        import warnings

        present = _RENAMED[name]
        warnings.warn(
            f"`{name}` is the name of the vendor's SDK v1; write `{present}`",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(import_module(f"intermodal.{_HOMES[present]}"), present)
    if name in _MODULES:
        return import_module(f"intermodal.{name}")
    raise AttributeError(f"module 'intermodal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
