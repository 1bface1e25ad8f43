"""Models of frameworks that take and give arrays: ONNX and MXNet.

Each is a `predict` and the `decode` that reads bodies for it. A framework is imported when one of
its models is loaded, never before.
"""

import importlib
import importlib.util
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from intermodal_serving import decoding
from intermodal_serving.errors import BadRequestError, ModelLoadError
from intermodal_serving.media_types import ContentType
from intermodal_serving.messages import Body

SYMBOL_SUFFIX = "-symbol.json"
"""Of the network that Gluon's `export` writes; its weights lie beside it in `NAME-0000.params`."""

_MODEL_FN = "define model_fn(model_dir) and predict_fn(data, model) in code/inference.py"
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_NUMPY_TYPES: Mapping[str, str] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}
"""ONNX' names to numpy's, of what a body can hold."""


class ArrayModel(ABC):
    """A model that takes arrays of numbers."""

    def decode(self, body: Body, content_type: ContentType) -> Any:
        """What `predict` takes of a body.

        Raises:
            RequestError: the body is none that the model can take.
        """
        return decoding.as_numbers(decoding.decode(body, content_type), content_type)

    @abstractmethod
    def predict(self, data: Any) -> Any:
        """The prediction for what `decode` gave: an array, or several in a list or a dict."""


def load_onnx(path: Path, threads: int) -> ArrayModel:
    """The model in an ONNX file.

    Args:
        path: the file.
        threads: that it may compute with.

    Raises:
        ModelLoadError: onnxruntime is not there, or cannot load it.
    """
    runtime = library("onnxruntime", path)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors, which it raises too
    providers = [each for each in _PROVIDERS if each in runtime.get_available_providers()]
    session = runtime.InferenceSession(str(path), options, providers=providers)
    return _OnnxModel(session, runtime.capi.onnxruntime_pybind11_state.InvalidArgument, path.name)


def load_mxnet(path: Path) -> ArrayModel:
    """The network that Gluon's `export` wrote: `NAME-symbol.json` and `NAME-0000.params`.

    Args:
        path: the symbol file.

    Raises:
        ModelLoadError: MXNet or the weights are not there, or the network takes several inputs.
    """
    name = path.name.removesuffix(SYMBOL_SUFFIX)
    weights = sorted(path.parent.glob(f"{name}-[0-9][0-9][0-9][0-9].params"))
    if not weights:
        raise ModelLoadError(
            f"{path.name} has no weights beside it: there is no {name}-0000.params",
            hint="put both files that `export` wrote into the model folder",
        )
    mxnet = library("mxnet", path)
    saved = mxnet.nd.load(str(weights[-1]))  # the last epoch
    known = {key.partition(":")[2] or key for key in saved}
    inputs = [each for each in mxnet.sym.load(str(path)).list_inputs() if each not in known]
    if len(inputs) != 1:
        raise ModelLoadError(
            f"{path.name} takes {len(inputs)} inputs, not one: {', '.join(inputs)}",
            hint=_MODEL_FN,
        )
    device = mxnet.gpu() if mxnet.context.num_gpus() else mxnet.cpu()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it finds the input's type by itself
        network = mxnet.gluon.SymbolBlock.imports(str(path), inputs, str(weights[-1]), ctx=device)
    kind = next((str(array.dtype.__name__) for array in saved.values()), "float32")
    return _MxnetModel(mxnet, network, device, kind if kind.startswith("float") else "float32")


def library(name: str, path: Path) -> ModuleType:
    """A framework that a model file needs.

    Raises:
        ModelLoadError: it is not installed.
    """
    if importlib.util.find_spec(name) is None:
        raise ModelLoadError(
            f"{path.name} needs {name}, which this image does not have",
            hint=f"take an image that has it, or add {name} to code/requirements.txt",
        )
    return importlib.import_module(name)


class _OnnxModel(ArrayModel):
    """Takes an array, or an object of arrays by name where the graph has several inputs."""

    def __init__(self, session: Any, invalid_argument: type[Exception], name: str) -> None:
        self._session = session
        self._invalid_argument = invalid_argument
        self._outputs = [each.name for each in session.get_outputs()]
        self._types = {}
        for each in session.get_inputs():
            if each.type not in _NUMPY_TYPES:
                raise ModelLoadError(
                    f"the input `{each.name}` of {name} is a {each.type}", hint=_MODEL_FN
                )
            self._types[each.name] = _NUMPY_TYPES[each.type]

    def decode(self, body: Body, content_type: ContentType) -> Any:
        value = decoding.decode(body, content_type)
        if isinstance(value, dict):
            return self._decode_by_name(value)
        if len(self._types) > 1:
            raise BadRequestError(f"the model takes an object with {', '.join(self._types)}")
        return decoding.as_numbers(value, content_type)

    def predict(self, data: Any) -> Any:
        if not isinstance(data, dict):
            [(name, kind)] = self._types.items()
            data = {name: data.astype(kind, copy=False)}
        try:
            results = self._session.run(None, data)
        except self._invalid_argument as error:
            # It knows the shapes that it takes, so this is the client's fault.
            raise BadRequestError(f"the model does not take this: {error}") from None
        if len(results) == 1:
            return results[0]
        return dict(zip(self._outputs, results, strict=True))

    def _decode_by_name(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        import numpy as np

        if value.keys() != self._types.keys():
            raise BadRequestError(f"the model takes an object with {', '.join(self._types)}")
        inputs = {}
        for name, kind in self._types.items():
            try:
                inputs[name] = np.array(value[name], dtype=kind)
            except (ValueError, TypeError, OverflowError) as error:
                raise BadRequestError(f"`{name}` is no array of {kind}: {error}") from None
        return inputs


class _MxnetModel(ArrayModel):
    def __init__(self, mxnet: Any, network: Any, device: Any, kind: str) -> None:
        self._mxnet = mxnet
        self._network = network
        self._device = device
        self._kind = kind

    def predict(self, data: Any) -> Any:
        array = self._mxnet.nd.array(data, ctx=self._device, dtype=self._kind)
        result = self._network(array)
        if isinstance(result, Sequence):
            return tuple(each.asnumpy() for each in result)
        return result.asnumpy()
