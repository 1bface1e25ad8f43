"""How `Predictor.predict` turns a response's body into Python data, one class a content type."""

import csv
import io
import json
from typing import Any, Protocol

from intermodal.serializers import imported


class BaseDeserializer(Protocol):
    """What every deserializer has; write your own with these two names."""

    @property
    def ACCEPT(self) -> tuple[str, ...]:  # noqa: N802 - the vendor's name
        """The content types that it understands, the best one first."""
        ...

    def deserialize(self, stream: Any, content_type: str = "") -> Any:
        """The data of a body that is open for reading; closes it."""
        ...


class _Accepting:
    """A deserializer whose accepted content types can be overridden."""

    def __init__(self, accept: str | tuple[str, ...]) -> None:
        self.accept = (accept,) if isinstance(accept, str) else tuple(accept)

    @property
    def ACCEPT(self) -> tuple[str, ...]:  # noqa: N802 - the vendor's name
        """The content types that it understands, the best one first."""
        return self.accept


class BytesDeserializer(_Accepting):
    """The body as bytes."""

    def __init__(self, accept: str | tuple[str, ...] = "*/*") -> None:
        super().__init__(accept)

    def deserialize(self, stream: Any, content_type: str = "") -> bytes:  # noqa: ARG002 - the protocol
        """The whole body."""
        return _read(stream)


class StringDeserializer(_Accepting):
    """The body as text.

    Args:
        encoding: of the body.
        accept: other content types.
    """

    def __init__(
        self, encoding: str = "UTF-8", accept: str | tuple[str, ...] = "application/json"
    ) -> None:
        super().__init__(accept)
        self.encoding = encoding

    def deserialize(self, stream: Any, content_type: str = "") -> str:  # noqa: ARG002 - the protocol
        """The whole body."""
        return _read(stream).decode(self.encoding)


class StreamDeserializer(_Accepting):
    """The body as it comes: a stream, which the caller closes, and its content type."""

    def __init__(self, accept: str | tuple[str, ...] = "*/*") -> None:
        super().__init__(accept)

    def deserialize(self, stream: Any, content_type: str) -> tuple[Any, str]:
        """The stream itself."""
        return stream, content_type


class JSONDeserializer(_Accepting):
    """One JSON document."""

    def __init__(self, accept: str | tuple[str, ...] = "application/json") -> None:
        super().__init__(accept)

    def deserialize(self, stream: Any, content_type: str = "") -> Any:  # noqa: ARG002 - the protocol
        """The document."""
        return json.loads(_read(stream))


class JSONLinesDeserializer(_Accepting):
    """One JSON document a line."""

    def __init__(self, accept: str | tuple[str, ...] = "application/jsonlines") -> None:
        super().__init__(accept)

    def deserialize(self, stream: Any, content_type: str = "") -> list[Any]:  # noqa: ARG002 - the protocol
        """The documents."""
        # A document may hold line ends of Unicode as they are.
        return [json.loads(line) for line in _read(stream).split(b"\n") if line.strip()]


class CSVDeserializer(_Accepting):
    """Rows of strings.

    Args:
        encoding: of the body.
        accept: other content types.
    """

    def __init__(self, encoding: str = "utf-8", accept: str | tuple[str, ...] = "text/csv") -> None:
        super().__init__(accept)
        self.encoding = encoding

    def deserialize(self, stream: Any, content_type: str = "") -> list[list[str]]:  # noqa: ARG002 - the protocol
        """The rows."""
        return list(csv.reader(_read(stream).decode(self.encoding).splitlines()))


class NumpyDeserializer(_Accepting):
    """An array of numpy's own formats, CSV or JSON.

    Args:
        dtype: the array's type; its own, or what fits the text, where `None`.
        accept: other content types.
        allow_pickle: only for an endpoint that you trust as your own code.
    """

    def __init__(
        self,
        dtype: Any = None,
        accept: str | tuple[str, ...] = "application/x-npy",
        allow_pickle: bool = False,
    ) -> None:
        super().__init__(accept)
        self.dtype = dtype
        self.allow_pickle = allow_pickle

    def deserialize(self, stream: Any, content_type: str = "") -> Any:
        """The array.

        Raises:
            ValueError: the content type is none of these.
            MissingDependencyError: numpy is not installed.
        """
        numpy = imported("numpy", "application/x-npy")
        body = _read(stream)
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "application/x-npy":
            array = numpy.load(io.BytesIO(body), allow_pickle=self.allow_pickle)
            return array if self.dtype is None else array.astype(self.dtype)
        if kind == "application/x-npz":
            return numpy.load(io.BytesIO(body), allow_pickle=self.allow_pickle)
        if kind == "text/csv":
            text = io.StringIO(body.decode())
            return numpy.genfromtxt(text, delimiter=",", dtype=self.dtype)
        if kind == "application/json":
            return numpy.array(json.loads(body), dtype=self.dtype)
        raise ValueError(f"{type(self).__name__} cannot read `{content_type}`")


class PandasDeserializer(_Accepting):
    """A data frame of CSV, whose first row has the names, or JSON."""

    def __init__(self, accept: str | tuple[str, ...] = ("text/csv", "application/json")) -> None:
        super().__init__(accept)

    def deserialize(self, stream: Any, content_type: str = "text/csv") -> Any:
        """The data frame.

        Raises:
            ValueError: the content type is neither.
            MissingDependencyError: pandas is not installed.
        """
        kind = content_type.partition(";")[0].strip().lower()
        pandas = imported("pandas", kind)
        body = io.BytesIO(_read(stream))
        if kind == "text/csv":
            return pandas.read_csv(body)
        if kind == "application/json":
            return pandas.read_json(body)
        raise ValueError(f"{type(self).__name__} cannot read `{content_type}`")


class TorchTensorDeserializer(_Accepting):
    """A tensor of PyTorch, out of numpy's own format."""

    def __init__(self, accept: str | tuple[str, ...] = "tensor/pt") -> None:
        super().__init__(accept)

    def deserialize(self, stream: Any, content_type: str = "tensor/pt") -> Any:  # noqa: ARG002 - the protocol
        """The tensor.

        Raises:
            MissingDependencyError: torch or numpy is not installed.
        """
        torch = imported("torch", "tensor/pt")
        return torch.from_numpy(NumpyDeserializer().deserialize(stream, "application/x-npy"))


def _read(stream: Any) -> bytes:
    try:
        return bytes(stream.read())
    finally:
        stream.close()
