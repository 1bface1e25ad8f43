"""How `Predictor.predict` turns Python data into a request's body, one class a content type.

numpy is needed for numpy's own format only; what looks like an array is taken by its methods.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from intermodal.errors import MissingDependencyError


class BaseSerializer(Protocol):
    """What every serializer has; write your own with these two names."""

    @property
    def CONTENT_TYPE(self) -> str:  # noqa: N802 - the vendor's name
        """The request's content type."""
        ...

    def serialize(self, data: Any) -> Any:
        """The request's body: bytes, text, or a file open for reading."""
        ...


class _Typed:
    """A serializer with a content type that can be overridden."""

    def __init__(self, content_type: str) -> None:
        self.content_type = content_type

    @property
    def CONTENT_TYPE(self) -> str:  # noqa: N802 - the vendor's name
        """The request's content type."""
        return self.content_type


class IdentitySerializer(_Typed):
    """Bytes, text or an open file, sent as they are."""

    def __init__(self, content_type: str = "application/octet-stream") -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> Any:
        """The data itself."""
        return data


class StringSerializer(_Typed):
    """Text."""

    def __init__(self, content_type: str = "text/plain") -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> bytes:
        """The text in UTF-8.

        Raises:
            ValueError: it is no text.
        """
        if not isinstance(data, str):
            raise ValueError(  # noqa: TRY004 - the vendor's
                f"a {type(data).__name__} is no text; give a string"
            )
        return data.encode()


class JSONSerializer(_Typed):
    """JSON; arrays become lists."""

    def __init__(self, content_type: str = "application/json") -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> str:
        """One JSON document."""
        return _read(data) if hasattr(data, "read") else json.dumps(data, default=_plain)


class JSONLinesSerializer(_Typed):
    """One JSON document a line, of an iterable."""

    def __init__(self, content_type: str = "application/jsonlines") -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> str:
        """The lines; text is taken as it is."""
        if isinstance(data, str):
            return data
        if hasattr(data, "read"):
            return _read(data)
        return "\n".join(json.dumps(one, default=_plain) for one in _rows(data))


class CSVSerializer(_Typed):
    """CSV of one row or of several; text and open files are taken as they are."""

    def __init__(self, content_type: str = "text/csv") -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> str:
        """The rows, without a line end after the last; a data frame writes itself.

        Raises:
            ValueError: there is nothing in it.
        """
        if hasattr(data, "read"):
            return _read(data)
        if hasattr(data, "to_csv") and hasattr(data, "columns"):
            return str(data.to_csv(header=False, index=False))
        rows = _rows(data)
        # The first one tells, as in the vendor's SDK.
        if not isinstance(rows, str | bytes) and rows and isinstance(rows[0], Iterable):
            return "\n".join(_csv_row(row) for row in rows)
        return _csv_row(rows)


class NumpySerializer(_Typed):
    """numpy's own format (`.npy`), never with pickles.

    Args:
        dtype: the arrays' type; their own where `None`.
        content_type: another content type.
    """

    def __init__(self, dtype: Any = None, content_type: str = "application/x-npy") -> None:
        super().__init__(content_type)
        self.dtype = dtype

    def serialize(self, data: Any) -> bytes:
        """The array's bytes.

        Raises:
            ValueError: there is nothing in it.
            MissingDependencyError: numpy is not installed.
        """
        if hasattr(data, "read"):
            return bytes(data.read())
        numpy = imported("numpy", "application/x-npy")
        array = numpy.asarray(data, dtype=self.dtype)
        if array.size == 0:
            raise ValueError("an empty array cannot be predicted")
        buffer = io.BytesIO()
        numpy.save(buffer, array, allow_pickle=False)
        return buffer.getvalue()


class SparseMatrixSerializer(_Typed):
    """A sparse matrix of SciPy in its own format (`.npz`)."""

    def __init__(self, content_type: str = "application/x-npz") -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> bytes:
        """The matrix's bytes.

        Raises:
            MissingDependencyError: scipy is not installed.
        """
        buffer = io.BytesIO()
        imported("scipy.sparse", "application/x-npz").save_npz(buffer, data)
        return buffer.getvalue()


class LibSVMSerializer(_Typed):
    """Lines of LibSVM, as text or as an open file."""

    def __init__(self, content_type: str = "text/libsvm") -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> Any:
        """The lines as they are.

        Raises:
            ValueError: it is neither text nor a file.
        """
        if isinstance(data, str):
            return data
        if hasattr(data, "read"):
            return data.read()
        raise ValueError(f"a {type(data).__name__} is no LibSVM; give text or an open file")


class TorchTensorSerializer(_Typed):
    """A tensor of PyTorch, in numpy's own format."""

    def __init__(self, content_type: str = "tensor/pt") -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> bytes:
        """The tensor's bytes, wherever it lies.

        Raises:
            ValueError: it is no tensor, or there is nothing in it.
        """
        if not hasattr(data, "detach"):
            raise ValueError(f"a {type(data).__name__} is no tensor; give a torch.Tensor")
        return NumpySerializer().serialize(data.detach().cpu().numpy())


class DataSerializer(_Typed):
    """The bytes of a file, given by its path, or bytes; or either as `data` of a dictionary."""

    def __init__(self, content_type: str = "file-path/raw-bytes") -> None:
        super().__init__(content_type)

    def serialize(self, data: Any) -> bytes:
        """The bytes.

        Raises:
            ValueError: it is neither, or the file cannot be read.
        """
        if isinstance(data, Mapping) and "data" in data:
            data = data["data"]
        if isinstance(data, bytes):
            return data
        if not isinstance(data, str | PathLike):
            raise ValueError(  # noqa: TRY004 - the vendor's
                f"a {type(data).__name__} is no data; give bytes or a file's path"
            )
        try:
            return Path(data).read_bytes()
        except OSError as error:
            raise ValueError(f"the file `{data}` cannot be read: {error.strerror}") from error


def imported(module: str, purpose: str) -> Any:
    """A package that only this purpose needs.

    Args:
        module: as in `scipy.sparse`.
        purpose: the content type, or what else it is for.

    Raises:
        MissingDependencyError: it is not installed.
    """
    from importlib import import_module

    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"{package} is needed for `{purpose}`", hint=f"pip install {package}"
        ) from error


def _read(data: Any) -> str:
    text = data.read()
    return text.decode() if isinstance(text, bytes) else str(text)


def _rows(data: Any) -> Any:
    """Arrays, tensors and data frames as lists; the rest as it is."""
    if hasattr(data, "to_numpy"):
        data = data.to_numpy()
    return data.tolist() if hasattr(data, "tolist") else data


def _plain(value: Any) -> Any:
    rows = _rows(value)
    if rows is value:
        raise TypeError(f"a {type(value).__name__} cannot be sent as JSON")
    return rows


def _csv_row(row: Any) -> str:
    if isinstance(row, str):
        return row
    if isinstance(row, bytes):
        return row.decode()
    values = list(_flat(_rows(row)))
    if not values:
        raise ValueError("an empty row cannot be sent")
    buffer = io.StringIO()
    csv.writer(buffer).writerow(values)
    return buffer.getvalue().removesuffix("\r\n")


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """The values of a row of more than one dimension, one after the other."""
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value
