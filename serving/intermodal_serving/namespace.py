"""How the code of many models lives in one process, each with modules of its own.

Python has one table of modules, so the `helper` that two models import would be one. Each model has
a namespace: the modules that come from its folders. They lie in `sys.modules`, and its folder in
`sys.path`, while it is loaded and while one of its plain handlers runs; changing from one model to
another moves a few entries. What comes from installed packages is shared by all models.

An `async` handler runs beside other models' code, whose modules may be the ones that lie there. So
`import` statements in a model's own files are answered from its own namespace at any time.
"""

import builtins
import functools
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from intermodal_serving.errors import ModelLoadError

_lock = threading.RLock()
"""Held while modules are moved, and while a model's own module is imported."""

_active: "Namespace | None" = None
"""Whose modules lie in `sys.modules`; changed only while `_lock` is held."""


class Namespace:
    """The modules of one model.

    Args:
        folder: of the program.
        root: of the model; modules from there are its own too, where its code adds to `sys.path`.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = str(folder)
        self._roots = (f"{folder}/", f"{root}/")
        self._tops = _modules_in(folder)
        self._modules: dict[str, ModuleType] = {}
        self._names: set[str] = set()
        self._shadowed: dict[str, ModuleType] = {}
        self._path = [self._folder]
        self._path_below: list[str] = []
        self._builtins = {**vars(builtins), "__import__": self._import}

    def activate(self) -> None:
        """Lay this model's modules where Python looks for them; on the model's thread."""
        if _active is not self:
            with _lock:
                _switch_to(self)

    def import_program(self, program: Path) -> ModuleType:
        """Import the model's file; whatever the file raises is passed on.

        Raises:
            ModelLoadError: the file called `sys.exit`, as an unguarded training script does.
        """
        self.activate()
        name = program.stem if program.stem in self._tops else f"user_{program.stem}"
        self._tops.add(name)
        loader = _Loader(name, str(program), self)
        spec = importlib.util.spec_from_file_location(name, program, loader=loader)
        if spec is None:
            raise ModelLoadError(f"{program} cannot be imported as a Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            loader.exec_module(module)
        except SystemExit as error:
            raise ModelLoadError(
                f"{program.name} called sys.exit({error.code!r}) while it was imported",
                hint='put what trains under `if __name__ == "__main__":`',
            ) from error
        return module

    def bind(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its model's modules being there when it is called."""

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            self.activate()
            return function(*arguments, **named)

        return call

    def forget(self) -> None:
        """The model is gone."""
        with _lock:
            if _active is self:
                _switch_to(None)
        self._modules.clear()
        for path in [*sys.path_importer_cache]:
            if f"{path}/".startswith(self._roots):
                del sys.path_importer_cache[path]

    def owns(self, name: str) -> bool:
        """Whether a module of that name is the model's own."""
        return name.partition(".")[0] in self._tops

    def find(self, name: str, path: Sequence[str] | None) -> importlib.machinery.ModuleSpec | None:
        """Where a module of its own lies."""
        where = [self._folder, *self._own_paths()] if path is None else path
        return self._own(importlib.machinery.PathFinder.find_spec(name, where))

    def find_elsewhere(self, name: str) -> importlib.machinery.ModuleSpec | None:
        """A module that lies at a path of the model's which its code has added, if it is there."""
        if not self._own_paths():
            return None
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec is None or not (spec.origin or "").startswith(self._roots):
            return None
        self._tops.add(name)
        return self._own(spec)

    def _own_paths(self) -> list[str]:
        return [p for p in sys.path if isinstance(p, str) and p.startswith(self._roots)]

    def _own(
        self, spec: importlib.machinery.ModuleSpec | None
    ) -> importlib.machinery.ModuleSpec | None:
        if spec is not None:
            self._names.add(spec.name)
            if type(spec.loader) is importlib.machinery.SourceFileLoader:
                spec.loader = _Loader(spec.name, spec.loader.path, self)
        return spec

    def prepare(self, module: ModuleType) -> None:
        """Give a module the namespace's way to import, before its code runs."""
        self._names.add(module.__name__)
        module.__dict__["__builtins__"] = self._builtins

    def keep(self, module: ModuleType) -> None:
        """A module is complete."""
        self._modules[module.__name__] = module

    def lay_out(self) -> None:
        """Put the modules where Python looks for them."""
        for top in self._tops & sys.modules.keys():
            for name in [n for n in list(sys.modules) if n == top or n.startswith(f"{top}.")]:
                self._shadowed[name] = sys.modules.pop(name)
        sys.modules.update(self._modules)
        self._path_below = list(sys.path)
        sys.path[:0] = self._path

    def put_away(self) -> None:
        """Leave `sys.modules` and `sys.path` as if the model were not there."""
        for name in list(self._names):
            if (module := sys.modules.pop(name, None)) is not None:
                self._modules[name] = module
        sys.modules.update(self._shadowed)
        self._shadowed.clear()
        self._path = [path for path in sys.path if path not in self._path_below]
        sys.path[:] = self._path_below

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - the signature of __import__
        locals: Mapping[str, Any] | None = None,  # noqa: A002 - as above
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What `import` in the model's own files does."""
        package = str((globals or {}).get("__package__") or "") if level else name
        if not self.owns(package):
            return builtins.__import__(name, globals, locals, fromlist, level)
        if not level and "." not in name:
            module = self._modules.get(name)
            if module is not None and not hasattr(module, "__path__"):
                return module  # the common case needs no lock
        with _lock:
            before = _active
            _switch_to(self)
            try:
                return builtins.__import__(name, globals, locals, fromlist, level)
            finally:
                _switch_to(before)


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a source file with its namespace's way to import."""

    def __init__(self, name: str, path: str, namespace: Namespace) -> None:
        super().__init__(name, path)
        self._namespace = namespace

    def exec_module(self, module: ModuleType) -> None:
        self._namespace.prepare(module)
        super().exec_module(module)
        self._namespace.keep(module)


class _Finder(MetaPathFinder):
    """Asks the namespace that is active, before anybody else is asked."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002 - the signature of a finder
    ) -> importlib.machinery.ModuleSpec | None:
        namespace = _active
        if namespace is None:
            return None
        if namespace.owns(fullname):
            return namespace.find(fullname, path)
        return namespace.find_elsewhere(fullname) if path is None else None


_finder = _Finder()


def _switch_to(namespace: Namespace | None) -> None:
    global _active
    if _active is namespace:
        return
    if _active is not None:
        _active.put_away()
    if namespace is not None:
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        namespace.lay_out()
    _active = namespace


def _modules_in(folder: Path) -> set[str]:
    """Top-level modules that a folder holds; never one of Python's own library or of the server."""
    found = set()
    for path in folder.iterdir() if folder.is_dir() else ():
        name = path.name.partition(".")[0]
        if path.suffix in {".py", ".so"} or (path.is_dir() and _is_package(path)):
            found.add(name)
    kept = sys.stdlib_module_names | _SERVERS_OWN
    return {name for name in found if name.isidentifier() and name not in kept}


_SERVERS_OWN = frozenset(
    {"intermodal_contract", "intermodal_serving", "httptools", "numpy", "orjson", "uvloop"}
)


def _is_package(folder: Path) -> bool:
    if (folder / "__init__.py").is_file():
        return True
    # A folder of data is a package too, for Python, where nothing else has its name.
    return importlib.machinery.PathFinder.find_spec(folder.name) is None
