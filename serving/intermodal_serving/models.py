"""How a model comes into memory and what runs it when the user's code does not say.

Which file in the model folder is which kind of model is told by what it holds, not by its name
alone, and without importing torch: a torch model's import takes seconds, an error should not.
"""

import importlib
import logging
import os
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from intermodal_serving import decoding
from intermodal_serving.array_models import (
    SYMBOL_SUFFIX,
    ArrayModel,
    library,
    load_mxnet,
    load_onnx,
)
from intermodal_serving.errors import BadRequestError, ModelLoadError
from intermodal_serving.media_types import ContentType
from intermodal_serving.messages import Body
from intermodal_serving.settings import ALLOW_PICKLE, Settings

logger = logging.getLogger("serve")

_SUFFIXES = (".pt", ".pth", ".pt2", ".onnx", ".joblib", SYMBOL_SUFFIX)
_PREFERRED_NAMES = frozenset(f"model{suffix}" for suffix in _SUFFIXES)
_ZIP_MAGIC = b"PK\x03\x04"


class FileKind(Enum):
    """What a model file holds, in words for an error message."""

    TORCHSCRIPT = "a TorchScript archive"
    EXPORTED = "a torch.export archive"
    SAVED = "what torch.save wrote: a state dict or a pickled module"
    ONNX = "an ONNX graph"
    MXNET = "an MXNet network"
    JOBLIB = "a joblib pickle"
    UNKNOWN = "of no format that is known here"


_FRAMEWORKS: Mapping[FileKind, str] = {
    FileKind.TORCHSCRIPT: "torch",
    FileKind.EXPORTED: "torch",
    FileKind.ONNX: "onnxruntime",
    FileKind.MXNET: "mxnet",
    FileKind.JOBLIB: "joblib",
}
"""The module that loads each kind."""


def set_thread_count(cpus: int) -> None:
    """Let numeric libraries use the cores that this container has; a choice already made stays.

    Must run before numpy or torch is imported.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(cpus))


def gpu_bytes() -> float:
    """GPU memory that this process's tensors hold, without importing torch for the question."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0.0
    return float(torch.cuda.memory_allocated())


def load_default_model(settings: Settings) -> Any:
    """The model of a folder without `model_fn`.

    Raises:
        ModelLoadError: what was found, and what to add so that it can be served.
    """
    path = _find_model_file(settings.model_dir)
    kind = file_kind(path)
    logger.info("loading %s, %s", path, kind.value)
    model = _load(path, kind, settings)
    framework = sys.modules[_FRAMEWORKS[kind]]
    # An image may hold another version than the one that its user asked for.
    logger.info("loaded %s with %s %s", path.name, framework.__name__, framework.__version__)
    return model


def file_kind(path: Path) -> FileKind:
    """What a model file holds, by its content; no code of it runs."""
    if path.suffix == ".joblib":
        return FileKind.JOBLIB
    if path.suffix == ".onnx":
        return FileKind.ONNX
    if path.name.endswith(SYMBOL_SUFFIX):
        return FileKind.MXNET
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != _ZIP_MAGIC:
        # torch.save before 1.6 wrote a bare pickle.
        return FileKind.SAVED if magic[:1] == b"\x80" else FileKind.UNKNOWN
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
    except zipfile.BadZipFile:
        return FileKind.UNKNOWN
    if "constants.pkl" in names:
        return FileKind.TORCHSCRIPT
    if names & {"archive_format", "serialized_exported_program.json"}:
        return FileKind.EXPORTED
    return FileKind.SAVED if "data.pkl" in names else FileKind.UNKNOWN


def is_torch_module(model: Any) -> bool:
    """Whether a model is a torch module, without importing torch for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def default_decoder(model: Any, *, takes_values: bool) -> Callable[[Body, ContentType], Any]:
    """What stands for `input_fn`: tensors where torch is in use, else arrays or plain values.

    Args:
        model: what was loaded.
        takes_values: whether a body that is no array may pass as dict, list or string, since the
            user's own predict_fn will see it.
    """
    importlib.import_module("numpy")  # now, not within the first request
    # Before numpy 1.24 a ragged nest is an array of objects and a warning; we ask for neither.
    warnings.filterwarnings("ignore", "Creating an ndarray from ragged", module=decoding.__name__)
    if isinstance(model, ArrayModel) and not takes_values:
        return model.decode
    if not (is_torch_module(model) or ("torch" in sys.modules and not hasattr(model, "predict"))):
        return decoding.decode
    import torch

    device, float_type = _device(model), _float_type(model)

    def decode_tensor(body: Body, content_type: ContentType) -> Any:
        value = decoding.decode(body, content_type)
        if takes_values and not hasattr(value, "dtype"):
            return value
        array = decoding.as_numbers(value, content_type)
        try:
            # torch writes to what it is given: a view of the request's bytes is copied first.
            tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
        except TypeError as error:
            raise BadRequestError(f"the array cannot become a tensor: {error}") from None
        if tensor.dtype is not float_type and float_type and tensor.is_floating_point():
            tensor = tensor.to(float_type)
        return tensor if device is None else tensor.to(device)

    return decode_tensor


def default_predictor(model: Any, *, has_thread: bool = False) -> Callable[[Any], Any]:
    """What stands for `predict_fn`.

    Args:
        model: what was loaded.
        has_thread: whether no other model runs on its thread, whose modes it may then keep.

    Raises:
        ModelLoadError: the model can neither be called nor has it a method `predict`.
    """
    if is_torch_module(model):
        import torch

        def predict_in_mode(data: Any) -> Any:
            with torch.inference_mode():
                return model(data)

        if not has_thread:
            return predict_in_mode
        modes = threading.local()

        def predict_without_gradients(data: Any) -> Any:
            # The mode is the thread's, and costs 3 us to enter: the model's thread stays in it.
            if not hasattr(modes, "inference"):
                modes.inference = torch.inference_mode()
                modes.inference.__enter__()
            return model(data)

        return predict_without_gradients
    predict = getattr(model, "predict", None) or (model if callable(model) else None)
    if predict is None:
        raise ModelLoadError(
            f"model_fn returned a {type(model).__name__}, which can neither be called nor has it "
            "a method `predict`",
            hint="define predict_fn(data, model) in code/inference.py",
        )
    return predict  # type: ignore[no-any-return]  # whatever the user's model has by that name


def _find_model_file(model_dir: Path) -> Path:
    if not model_dir.is_dir():
        raise ModelLoadError(
            f"there is no model folder {model_dir}",
            hint="give the endpoint's model a ModelDataUrl, or the image a folder of that name",
        )
    files = sorted(path for path in model_dir.iterdir() if path.name.endswith(_SUFFIXES))
    named = [path for path in files if path.name in _PREFERRED_NAMES]
    if len(named or files) == 1:
        return (named or files)[0]
    if files:
        raise ModelLoadError(
            f"{model_dir} holds several models: {', '.join(path.name for path in files)}",
            hint="name one of them `model.pt`, or define model_fn in code/inference.py",
        )
    found = sorted(path.name for path in model_dir.iterdir())[:20]
    raise ModelLoadError(
        f"no model that loads by itself is in {model_dir}, only: {', '.join(found) or 'nothing'}",
        hint="put a TorchScript file `model.pt` at the top of model.tar.gz (or `model.pt2`, "
        "`model.onnx`, `model-symbol.json` and its weights), or define model_fn in "
        "code/inference.py",
    )


def _what_to_add(path: Path, kind: FileKind) -> str:
    if kind is FileKind.JOBLIB:
        return (
            f"loading it runs code from the file: set {ALLOW_PICKLE}=true if you trust it, or "
            "define model_fn in code/inference.py"
        )
    return (
        "define model_fn(model_dir) in code/inference.py that builds the network and loads "
        f"{path.name} into it, or save the model with `torch.jit.script(model).save(...)`"
    )


def _load(path: Path, kind: FileKind, settings: Settings) -> Any:
    if kind is FileKind.TORCHSCRIPT:
        return _load_torchscript(path)
    if kind is FileKind.EXPORTED:
        return _load_exported(path)
    if kind is FileKind.ONNX:
        return load_onnx(path, settings.threads)
    if kind is FileKind.MXNET:
        return load_mxnet(path)
    if kind is FileKind.JOBLIB and settings.allow_pickle:
        return _load_joblib(path)
    raise ModelLoadError(f"{path.name} is {kind.value}, which is not loaded by itself",
                         hint=_what_to_add(path, kind))  # fmt: skip


def _load_torchscript(path: Path) -> Any:
    import torch

    with warnings.catch_warnings():
        # torch.jit is on its way out; whoever brings such a file knows, and can export anew.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(str(path), map_location=_best_device()).eval()  # type: ignore[no-untyped-call]


def _load_exported(path: Path) -> Any:
    import torch

    module = torch.export.load(path).module()
    return module.to(_best_device())


def _load_joblib(path: Path) -> Any:
    return library("joblib", path).load(path)


def _best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _device(model: Any) -> Any:
    """Where a module's parameters are; None on the CPU, which tensors need not be moved to."""
    if not is_torch_module(model):
        best = _best_device()
        return None if best == "cpu" else best
    first = next(iter(model.parameters()), next(iter(model.buffers()), None))
    return None if first is None or first.device.type == "cpu" else first.device


def _float_type(model: Any) -> Any:
    """What a module computes in: numpy's float64 would not fit its float32 weights."""
    if not is_torch_module(model):
        return None
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
