"""One of the many models of a container: whose code it runs, and its way into memory and out.

Its code is its own, else the container's; its modules are its own in any case.
"""

import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from intermodal_serving import capacity, handlers, requirements
from intermodal_serving.errors import ModelLoadError
from intermodal_serving.handlers import Handlers
from intermodal_serving.namespace import Namespace
from intermodal_serving.pipeline import LoadedModel, load_model, system_properties
from intermodal_serving.registry import Claim
from intermodal_serving.settings import Settings
from intermodal_serving.tracebacks import describe, user_traceback

logger = logging.getLogger("serve")


@dataclass(slots=True, eq=False)
class Held:
    """A model in this worker's memory.

    Attributes:
        claim: the registry's file of it.
        size_bytes: of its files.
        model: what runs it.
        properties: what its handlers learn of it.
        namespace: its modules.
        touched_at: when other workers were last told that it is used.
    """

    claim: Claim
    size_bytes: int
    model: LoadedModel
    properties: dict[str, Any]
    namespace: Namespace
    touched_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a model could not be loaded: words only, since an error keeps what it has seen alive."""

    message: str
    hint: str | None
    is_shortage: bool


def settings_for(settings: Settings, name: str, folder: Path) -> Settings:
    """The settings of one of many models: its own code, else the container's."""
    own = replace(settings, model_name=name, model_folder=folder, submit_directory=None)
    program = settings.program or handlers.DEFAULT_PROGRAM
    program = program if program.endswith(".py") else f"{program}.py"
    if (handlers.code_folder(own) / program).is_file():
        return own
    shared = shared_code_folder(settings)
    if shared is not None and (shared / program).is_file():
        return replace(own, submit_directory=str(shared))
    return own


def shared_code_folder(settings: Settings) -> Path | None:
    """Where the code lies that models without any of their own share; None if nowhere."""
    with contextlib.suppress(ModelLoadError):  # a setting that makes sense for one model only
        folder = handlers.code_folder(settings)
        if folder.is_dir():
            return folder
    return None


def load(
    claim: Claim, size_bytes: int, settings: Settings, wait_for: Callable[[Awaitable[Any]], Any]
) -> Held | Failure:
    """Bring a model into memory; on the model's thread.

    Args:
        claim: the registry's file of it.
        size_bytes: of its files.
        settings: from `settings_for`.
        wait_for: awaits something on the event loop, for an `async` `model_fn`.
    """
    namespace = Namespace(handlers.code_folder(settings), settings.model_dir)
    model = _try_to_load(claim.entry.name, settings, namespace, wait_for)
    if isinstance(model, Failure):
        namespace.forget()
        capacity.free_memory()
        return model
    return Held(claim, size_bytes, model, system_properties(settings), namespace)


def forget(held: Held) -> None:
    """Let a model go, on its thread: nothing here refers to it any more after this."""
    del held.model
    held.namespace.forget()
    capacity.free_memory()


def _try_to_load(
    name: str,
    settings: Settings,
    namespace: Namespace,
    wait_for: Callable[[Awaitable[Any]], Any],
) -> LoadedModel | Failure:
    try:
        namespace.activate()
        _warn_of_requirements(name, settings)
        read = functools.partial(_read_program, namespace)
        return load_model(settings, wait_for, read)
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything
        return _failure_of(name, error)


def _warn_of_requirements(name: str, settings: Settings) -> None:
    listed = settings.model_dir / "code" / "requirements.txt"
    if listed.is_file() and not requirements.are_satisfied(listed.read_text(errors="replace")):
        logger.warning(
            "the model `%s` has a requirements.txt of its own, which is not installed where one "
            "container serves many models: the image must hold what it names",
            name,
        )


def _read_program(namespace: Namespace, program: Path) -> Handlers:
    found = handlers.read_handlers(namespace.import_program(program))
    bound = {}
    for field in fields(found):
        handler = getattr(found, field.name)
        if handler is not None and not handler.is_async:
            bound[field.name] = replace(handler, function=namespace.bind(handler.function))
    return replace(found, **bound)


def _failure_of(name: str, error: BaseException) -> Failure:
    message, hint, cause = describe(error), None, error.__cause__
    if isinstance(error, ModelLoadError):
        message, hint = error.message, error.hint
    else:
        cause = error
    trace = "" if cause is None else f"\n{user_traceback(cause)}"
    logger.error("the model `%s` cannot be loaded: %s%s", name, message, trace)
    return Failure(message, hint, capacity.is_shortage(error))
