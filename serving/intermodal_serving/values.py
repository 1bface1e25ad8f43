"""What stands between bodies and models: arrays where there are any, else plain values.

numpy is imported on first use, so that a model that needs none starts without it.
"""

from typing import Any

Array = Any  # numpy.ndarray[Any, Any], which cannot be named without importing numpy

NUMERIC_KINDS = "biuf"
"""Of numpy's types: booleans, whole numbers with and without a sign, floats."""


def to_plain(value: Any) -> Any:
    """A tensor, of torch or MXNet, as a numpy array; everything else as it is."""
    if hasattr(value, "detach"):
        try:
            array = value.numpy()
        except (TypeError, RuntimeError):  # on a GPU, with gradients, or of a type numpy lacks
            array = _tensor_as_array(value)
        return array.astype("float32") if array.dtype.char == "e" else array
    return value.asnumpy() if hasattr(value, "asnumpy") else value


def kind_of(value: Any) -> str:
    """What a value is, in words for an error message."""
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(value), f"a value of type {type(value).__name__}")


def _tensor_as_array(value: Any) -> Array:
    tensor = value.detach().cpu().resolve_conj().resolve_neg()
    # numpy has no bfloat16 and no 8-bit floats.
    small = "float" in str(tensor.dtype) and tensor.element_size() < 4
    return (tensor.float() if small else tensor).numpy()
