"""The user's handlers: where their file lies, how it is imported, which signatures are right.

The names and arguments are the vendor's:

    model_fn(model_dir)                                   -> model
    input_fn(body, content_type)                          -> data
    predict_fn(data, model)                               -> prediction
    output_fn(prediction, accept)                         -> body | (body, content type)
    transform_fn(model, body, content_type, accept)       -> body | (body, content type)
    stream_fn(messages, model)                            -> messages; ours, for WebSockets

each with or without a last argument `context`, and each plain or `async`. `transform_fn` stands for
`input_fn`, `predict_fn` and `output_fn` together, never beside them. `predict_fn`, `output_fn` and
`transform_fn` may be generators; `stream_fn` must be an `async` one.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from intermodal_contract import env
from intermodal_contract.training_files import ML_ROOT
from intermodal_serving.errors import ModelLoadError
from intermodal_serving.settings import Settings

DEFAULT_PROGRAM = "inference.py"

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "model_fn": ("model_dir",),
    "input_fn": ("body", "content_type"),
    "predict_fn": ("data", "model"),
    "output_fn": ("prediction", "accept"),
    "transform_fn": ("model", "body", "content_type", "accept"),
    "stream_fn": ("messages", "model"),
}
_GENERATORS = frozenset({"predict_fn", "output_fn", "transform_fn", "stream_fn"})
_CONTEXT_NAMES = frozenset({"context", "ctx", "_context", "_ctx", "_"})


@dataclass(frozen=True, slots=True)
class Handler:
    """One function of the user's.

    Attributes:
        name: `model_fn` and so on.
        function: the function itself.
        context: how it takes the context: `None`, `positional` or `keyword`.
        is_async: whether it runs on the event loop.
        is_generator: whether it makes its result piece by piece.
        is_batched: whether it says that it takes the arrays of many requests as one.
    """

    name: str
    function: Callable[..., Any]
    context: str | None = None
    is_async: bool = False
    is_batched: bool = False
    is_generator: bool = False

    def __call__(self, *arguments: Any, context: Any) -> Any:
        """Call the function; for an async one that is no generator the result is awaitable."""
        if self.context is None:
            return self.function(*arguments)
        if self.context == "positional":
            return self.function(*arguments, context)
        return self.function(*arguments, context=context)


@dataclass(frozen=True, slots=True)
class Handlers:
    """What the user's file defines; None stands for the default."""

    model_fn: Handler | None = None
    input_fn: Handler | None = None
    predict_fn: Handler | None = None
    output_fn: Handler | None = None
    transform_fn: Handler | None = None
    stream_fn: Handler | None = None

    @property
    def is_async(self) -> bool:
        """Whether an invocation needs the event loop for one of its steps."""
        others = {"model_fn", "stream_fn"}
        found = (getattr(self, field.name) for field in fields(self) if field.name not in others)
        return any(handler is not None and handler.is_async for handler in found)


def find_program(settings: Settings) -> Path | None:
    """The user's file, or None if the model came without code.

    Raises:
        ModelLoadError: the environment names a file or folder that is not there.
    """
    folder = code_folder(settings)
    name = settings.program or DEFAULT_PROGRAM
    program = folder / (name if name.endswith(".py") else f"{name}.py")
    if program.is_file():
        return program
    if settings.program is None:
        return None
    found = sorted(path.name for path in folder.glob("*.py")) if folder.is_dir() else []
    raise ModelLoadError(
        f"`{env.PROGRAM}` names `{name}`, but there is no such file in {folder}",
        hint=f"there is: {', '.join(found)}"
        if found
        else "put the file into code/ of model.tar.gz",
    )


def code_folder(settings: Settings) -> Path:
    """The folder of the user's code, which need not be there.

    Raises:
        ModelLoadError: the environment names a folder that is not there.
    """
    in_model = settings.model_dir / "code"
    named = settings.submit_directory
    if named is None:
        return in_model
    if named.startswith("s3://"):
        if in_model.is_dir():
            return in_model
        raise ModelLoadError(
            f"`{env.SUBMIT_DIRECTORY}` is `{named}`, but `serve` fetches nothing from S3",
            hint="pack the source into model.tar.gz as code/",
        )
    folder = _re_rooted(named.removeprefix("file://"), settings)
    if not folder.is_dir():
        raise ModelLoadError(
            f"`{env.SUBMIT_DIRECTORY}` is `{named}`, but there is no such folder",
            hint=f"without it the folder is {in_model}",
        )
    return folder


def import_program(program: Path) -> ModuleType:
    """Import the user's file under its own name, never as `__main__`, its folder on `sys.path`.

    Whatever the file raises is passed on.

    Raises:
        ModelLoadError: the file called `sys.exit`, as an unguarded training script does.
    """
    folder = str(program.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = program.stem if program.stem not in sys.modules else f"user_{program.stem}"
    spec = importlib.util.spec_from_file_location(name, program)
    if spec is None or spec.loader is None:
        raise ModelLoadError(f"{program} cannot be imported as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SystemExit as error:
        raise ModelLoadError(
            f"{program.name} called sys.exit({error.code!r}) while it was imported",
            hint='put what trains under `if __name__ == "__main__":`',
        ) from error
    return module


def read_handlers(module: ModuleType) -> Handlers:
    """The handlers that a module defines, their signatures checked.

    Raises:
        ModelLoadError: names the function that cannot be called as the contract calls it.
    """
    found = {
        name: _handler(name, getattr(module, name), arguments)
        for name, arguments in ARGUMENTS.items()
        if getattr(module, name, None) is not None
    }
    beside = sorted(found.keys() & {"input_fn", "predict_fn", "output_fn"})
    if "transform_fn" in found and beside:
        raise ModelLoadError(
            f"transform_fn cannot stand beside {', '.join(beside)}: it does their work",
            hint="remove the one or the others",
        )
    return Handlers(**found)


def _re_rooted(named: str, settings: Settings) -> Path:
    path = PurePosixPath(named)
    if path.is_relative_to(ML_ROOT) and not Path(path).exists():
        return settings.base_dir / path.relative_to(ML_ROOT)
    return Path(path)


def _handler(name: str, function: Any, arguments: tuple[str, ...]) -> Handler:
    if not callable(function):
        raise ModelLoadError(f"{name} is a {type(function).__name__}, but must be a function")
    # An object is what its `__call__` is.
    forms = (function, getattr(function, "__call__", None))  # noqa: B004
    is_async_generator = any(map(inspect.isasyncgenfunction, forms))
    is_generator = is_async_generator or any(map(inspect.isgeneratorfunction, forms))
    is_async = is_async_generator or any(map(inspect.iscoroutinefunction, forms))
    if is_generator and name not in _GENERATORS:
        raise ModelLoadError(f"{name} is a generator", hint="return the whole result")
    if name == "stream_fn" and not is_async:
        raise ModelLoadError(
            "stream_fn is not `async`, so it could not wait for messages",
            hint="write it as `async def` with `async for message in messages:` and `yield`; "
            "`await context.call_model(function, ...)` is for what takes time",
        )
    is_batched = bool(getattr(function, "batched", False))
    try:
        form = _context_form(name, inspect.signature(function), arguments)
    except ValueError:  # some functions written in C do not tell
        form = None
    return Handler(name, function, form, is_async, is_batched, is_generator)


def _context_form(
    name: str, signature: inspect.Signature, arguments: tuple[str, ...]
) -> str | None:
    parameters = list(signature.parameters.values())
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
    ]
    following = positional[len(arguments)] if len(positional) > len(arguments) else None
    wants_last = following is not None and (
        following.default is following.empty or following.name in _CONTEXT_NAMES
    )
    wants_keyword = any(p.kind is p.KEYWORD_ONLY and p.name == "context" for p in parameters)
    form = "positional" if wants_last else "keyword" if wants_keyword else None
    try:
        signature.bind(
            *arguments,
            *(["context"] if form == "positional" else []),
            **({"context": None} if form == "keyword" else {}),
        )
    except TypeError:
        wanted = ", ".join(arguments)
        raise ModelLoadError(
            f"{name}{signature} has the wrong arguments",
            hint=f"write it as {name}({wanted}) or {name}({wanted}, context)",
        ) from None
    return form
