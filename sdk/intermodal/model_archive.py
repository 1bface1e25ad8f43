"""`model.tar.gz` with the user's code in its `code/`, where every serving image looks for it."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from intermodal.source import UploadedCode, UserCode, local_path
from intermodal.storage import Storage
from intermodal_contract.artifact import pack, unpack
from intermodal_contract.channel import S3Uri, parse_s3_uri

CODE_FOLDER = "code"
OWN_PROGRAM = "inference.py"


class ModelArchive:
    """One model archive, unpacked in a temporary folder while the `with` block lasts.

    Args:
        storage: S3.
        model_data: `s3://…/model.tar.gz`, a local path or a `file://` URI.
    """

    def __init__(self, storage: Storage, model_data: str) -> None:
        self._storage = storage
        self._model_data = model_data
        self._scratch = tempfile.TemporaryDirectory(
            prefix="intermodal-model-", ignore_cleanup_errors=True
        )
        self._root = Path(self._scratch.name, "model")

    def __enter__(self) -> Self:
        try:
            self._fetch()
        except BaseException:
            self._scratch.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    @property
    def has_own_code(self) -> bool:
        """Whether the training script has put `code/inference.py` into the model itself."""
        return (self._root / CODE_FOLDER / OWN_PROGRAM).is_file()

    def add(self, code: UserCode) -> None:
        """Put code into `code/`: a source folder replaces what was there, a script joins it."""
        folder = self._root / CODE_FOLDER
        if code.source_dir is not None:
            shutil.rmtree(folder, ignore_errors=True)
        for name, path in code.files(dependency_folder="lib/").items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)

    def add_uploaded(self, code: UploadedCode) -> None:
        """Put an archive of code that was uploaded before into `code/`."""
        archive = Path(self._scratch.name, "sourcedir.tar.gz")
        if code.content is not None:
            archive.write_bytes(code.content)
        else:
            self._storage.get(parse_s3_uri(code.s3_prefix), archive)
        unpack(archive, self._root / CODE_FOLDER)

    def upload(self, destination: S3Uri, extra: Mapping[str, str]) -> str:
        """Pack what there is now and store it; returns its URI."""
        packed = Path(self._scratch.name, "model.tar.gz")
        pack(self._root, packed)
        with packed.open("rb") as file:
            self._storage.put(file, destination, extra)
        return str(destination)

    def _fetch(self) -> None:
        if not self._model_data.startswith("s3://"):
            unpack(local_path(self._model_data), self._root)
            return
        archive = Path(self._scratch.name, "fetched.tar.gz")
        self._storage.get(parse_s3_uri(self._model_data), archive)
        unpack(archive, self._root)
        archive.unlink()


@dataclass(frozen=True, slots=True)
class CodedModel:
    """A model with the code that serves it.

    Attributes:
        uri: the archive's.
        program: the script in its `code/`.
        is_training_code: whether the training script serves, since the model brought no other.
    """

    uri: str
    program: str
    is_training_code: bool = False


def with_code(
    storage: Storage,
    model_data: str,
    code: UserCode | UploadedCode,
    place: Callable[[], tuple[S3Uri, Mapping[str, str]]],
) -> CodedModel:
    """Puts code into a model's archive and stores that; a model with code of its own keeps it.

    Args:
        storage: S3.
        model_data: `s3://…/model.tar.gz`, a local path or a `file://` URI.
        code: the user's for serving, or the training job's, which gives way to the model's own.
        place: where the new archive goes, and what S3 is told beside; asked if there is one.
    """
    with ModelArchive(storage, model_data) as archive:
        if isinstance(code, UserCode):
            archive.add(code)
            return CodedModel(archive.upload(*place()), code.program)
        if archive.has_own_code:
            return CodedModel(model_data, OWN_PROGRAM)
        archive.add_uploaded(code)
        return CodedModel(archive.upload(*place()), code.script_name, is_training_code=True)
