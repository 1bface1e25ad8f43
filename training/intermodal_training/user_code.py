"""Gets the submitted source into `/opt/ml/code` and finds what shall run there.

What was submitted always wins: what an earlier run or the image left in the folder goes away first.
Without a submitted source, what lies in the folder is the source: baked into the image.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from intermodal_contract.training_files import ML_ROOT
from intermodal_training.errors import EntryPointError, SourceError
from intermodal_training.job import Job

_LISTED_NAMES = 20
_FILE_URI = "file://"
_S3_URI = "s3://"


class EntryKind(StrEnum):
    """How an entry point is run."""

    SCRIPT = "script"
    MODULE = "module"
    SHELL = "shell"
    EXECUTABLE = "executable"


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """What shall run.

    Attributes:
        kind: how.
        name: file name relative to `folder`, or the module's dotted name.
        folder: the source; the working folder of the run.
        is_package: whether the source is a package that pip installs first.
    """

    kind: EntryKind
    name: str
    folder: Path
    is_package: bool = False


def place_source(job: Job, environment: Mapping[str, str]) -> Path:
    """Brings the submitted source into the code folder.

    Returns:
        The code folder.

    Raises:
        SourceError: there is none, it cannot be fetched, or it is broken.
    """
    code = job.paths.code
    source = _re_rooted((job.source or "").removeprefix(_FILE_URI), job.paths.root)
    if not source or (Path(source).is_dir() and Path(source).resolve() == code.resolve()):
        if not code.is_dir():
            raise SourceError(
                f"no source was submitted and `{code}` does not exist",
                hint="give the estimator a `source_dir`, or copy the source there in the image",
            )
        return code
    # Within the folder, since the folder itself may be a mount that cannot be replaced.
    incoming = _fresh_folder(code)
    try:
        _bring(source, incoming, environment)
        _replace_content(code, incoming)
    except BaseException:
        import shutil

        shutil.rmtree(incoming, ignore_errors=True)
        raise
    return code


def find_entry_point(folder: Path, name: str) -> EntryPoint:
    """Says how an entry point is to be run.

    A `.sh` is a shell script; in a source with a setup.py the entry point is a module of that
    package; else a `.py` is a script; any other file is an executable; what is no file is a module,
    of a package with a pyproject.toml or of the plain source.

    Raises:
        EntryPointError: the source holds no such thing; the message lists what it holds.
    """
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise EntryPointError(
            f"the entry point `{name}` lies outside the source",
            hint="name it relative to `source_dir`",
        )
    if (folder / "setup.py").is_file() and not name.endswith(".sh"):
        return EntryPoint(EntryKind.MODULE, _module_name(name), folder, is_package=True)
    if path.is_file():
        kind = {".sh": EntryKind.SHELL, ".py": EntryKind.SCRIPT}.get(path.suffix)
        return EntryPoint(kind or EntryKind.EXECUTABLE, name, folder)
    module = folder.joinpath(*name.split("."))
    if (folder / "pyproject.toml").is_file() and all(p.isidentifier() for p in name.split(".")):
        return EntryPoint(EntryKind.MODULE, name, folder, is_package=True)
    if module.with_suffix(".py").is_file() or (module / "__main__.py").is_file():
        return EntryPoint(EntryKind.MODULE, name, folder)
    raise EntryPointError(
        f"the entry point `{name}` is not in the source, which {_content(folder)}",
        hint="name the file relative to `source_dir`, or leave `source_dir` out "
        "and give `entry_point` the file's whole path",
    )


def _module_name(name: str) -> str:
    return name.removesuffix(".py").replace("/", ".")


def _content(folder: Path) -> str:
    names = sorted(
        f"`{path.relative_to(folder)}`"
        for path in [*folder.glob("*"), *folder.glob("*/*.py")]
        if path.is_file() and not path.name.startswith(".")
    )
    if not names:
        return "is empty"
    more = len(names) - _LISTED_NAMES
    return "holds " + ", ".join(names[:_LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")


def _re_rooted(source: str, root: Path) -> str:
    """A path below `/opt/ml` as it is where `/opt/ml` had to be re-rooted."""
    path = Path(source)
    if root != ML_ROOT and path.is_relative_to(ML_ROOT) and not path.exists():
        return str(root / path.relative_to(ML_ROOT))
    return source


def _fresh_folder(code: Path) -> Path:
    import tempfile

    try:
        code.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".incoming-", dir=code))
    except OSError as error:
        raise SourceError(f"`{code}` cannot be written: {error.strerror}") from error


def _bring(source: str, incoming: Path, environment: Mapping[str, str]) -> None:
    if source.startswith(_S3_URI):
        _bring_from_s3(source, incoming, environment)
    elif Path(source).is_dir():
        import shutil

        shutil.copytree(source, incoming, symlinks=True, dirs_exist_ok=True)
    elif Path(source).is_file():
        _unpack(Path(source), incoming, source)
    else:
        raise SourceError(
            f"the submitted source `{source}` does not exist",
            hint="it must be an S3 URI, or a folder or .tar.gz inside the container",
        )


def _bring_from_s3(source: str, incoming: Path, environment: Mapping[str, str]) -> None:
    from intermodal_contract.channel import InvalidS3UriError, parse_s3_uri
    from intermodal_training.fetch import fetch_file, fetch_prefix

    try:
        uri = parse_s3_uri(source)
    except InvalidS3UriError as error:
        raise SourceError(f"the submitted source {error.message}", hint=error.hint) from error
    if not uri.key.endswith((".tar.gz", ".tgz", ".tar")):
        fetch_prefix(uri, incoming, environment)
        return
    archive = incoming.with_name(f"{incoming.name}.tar.gz")
    try:
        fetch_file(uri, archive, environment)
        _unpack(archive, incoming, source)
    finally:
        archive.unlink(missing_ok=True)


def _unpack(archive: Path, folder: Path, source: str) -> None:
    from intermodal_contract.artifact import ArchiveError, unpack

    try:
        unpack(archive, folder)
    except ArchiveError as error:
        raise SourceError(
            f"the submitted source `{source}` cannot be unpacked: {error.message}", hint=error.hint
        ) from error
    except OSError as error:
        raise SourceError(
            f"the submitted source `{source}` cannot be unpacked: {error.strerror}"
        ) from error


def _replace_content(code: Path, incoming: Path) -> None:
    import shutil

    for old in code.iterdir():
        if old == incoming:
            continue
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    for new in list(incoming.iterdir()):
        os.rename(new, code / new.name)  # noqa: PTH104 - Path.rename says no more
    incoming.rmdir()
