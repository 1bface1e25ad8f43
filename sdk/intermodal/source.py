"""A user's code on its way to a container: checked, and packed to the same bytes every time.

Two layouts, both the vendor's. For training, `sourcedir.tar.gz` holds the source folder's content
(or the entry point alone) with each dependency beside it. For serving, the same lies in `code/` of
`model.tar.gz`, dependencies in `code/lib/`.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intermodal_contract.channel import S3Uri

ARCHIVE_NAME = "sourcedir.tar.gz"
# What tools leave behind; it would make the archive differ from run to run.
_LEFTOVERS = frozenset({"__pycache__", ".git", ".ipynb_checkpoints", ".DS_Store"})


@dataclass(frozen=True, slots=True)
class UserCode:
    """What the user said about the code to run.

    Attributes:
        entry_point: the script; relative to `source_dir` where there is one.
        source_dir: a folder, an `s3://…/sourcedir.tar.gz`, or `None` for the script alone.
        dependencies: further files and folders that lie beside the script in the container.
    """

    entry_point: str
    source_dir: str | None = None
    dependencies: tuple[str, ...] = ()

    @property
    def is_in_s3(self) -> bool:
        """Whether the archive has been uploaded already."""
        return self.source_dir is not None and self.source_dir.lower().startswith("s3://")

    @property
    def program(self) -> str:
        """The script's name in the container."""
        return self.entry_point if self.source_dir else Path(self.entry_point).name

    def problems(self) -> list[str]:
        """What is missing on disk, a sentence each."""
        found = []
        if self.is_in_s3:
            if not str(self.source_dir).endswith(".tar.gz"):
                found.append(f"`source_dir`: `{self.source_dir}` is no .tar.gz and no folder here")
        elif self.source_dir is not None and not Path(self.source_dir).is_dir():
            found.append(f"`source_dir`: there is no folder `{self.source_dir}`")
        elif not self._entry_file.is_file():
            found.append(f"`entry_point`: there is no file `{self._entry_file}`{self._near()}")
        missing = [path for path in self.dependencies if not Path(path).exists()]
        found += [f"`dependencies`: there is no `{path}`" for path in missing]
        return found

    def files(self, dependency_folder: str = "") -> dict[str, Path]:
        """Every file to pack, by its name in the archive.

        Args:
            dependency_folder: where dependencies go; the top for training, `lib/` for serving.
        """
        if self.source_dir:
            found = dict(_walk(Path(self.source_dir), ""))
        else:
            found = {self.program: self._entry_file}
        for dependency in map(Path, self.dependencies):
            found.update(_walk(dependency, f"{dependency_folder}{dependency.resolve().name}"))
        return found

    def archive(self) -> bytes:
        """`sourcedir.tar.gz`: the same bytes for the same content."""
        # tarfile and gzip take as long to import as a tenth of this whole package.
        from intermodal_contract.artifact import pack_files

        buffer = io.BytesIO()
        pack_files(self.files(), buffer)
        return buffer.getvalue()

    @property
    def _entry_file(self) -> Path:
        return Path(self.source_dir or "", local_path(self.entry_point))

    def _near(self) -> str:
        folder = self._entry_file.parent
        names = sorted(path.name for path in folder.glob("*.py"))[:5] if folder.is_dir() else []
        return f"; that folder has {', '.join(f'`{name}`' for name in names)}" if names else ""


@dataclass(frozen=True, slots=True)
class UploadedCode:
    """Code that lies in S3.

    Attributes:
        s3_prefix: URI of the archive.
        script_name: the script's name in it.
        content: the archive itself where it was packed in this process.
    """

    s3_prefix: str
    script_name: str
    content: bytes | None = None


def encryption(kms_key: str | None) -> Mapping[str, str]:
    """How code and repacked models are encrypted: with the given key, else the account's own."""
    return {"ServerSideEncryption": "aws:kms", **({"SSEKMSKeyId": kms_key} if kms_key else {})}


def code_place(bucket: str, *parts: str) -> "S3Uri":
    """Where an upload goes: the parts that are not empty, joined."""
    from intermodal_contract.channel import S3Uri

    return S3Uri(bucket, "/".join(part.strip("/") for part in parts if part))


def is_there(data: object) -> bool:
    """Whether data is what can be uploaded, or nothing that would have to be."""
    if not isinstance(data, str) or data.startswith("s3://"):
        return True
    return Path(local_path(data)).is_file()


def local_path(path_or_uri: str) -> Path:
    """The path that a plain path or a `file://` URI means."""
    return Path(path_or_uri.removeprefix("file://"))


def as_code(
    entry_point: str | Path | None,
    source_dir: str | Path | None,
    dependencies: Sequence[str | Path] | None,
) -> UserCode | None:
    """The user's code, or `None` where there is no entry point."""
    if entry_point is None:
        return None
    return UserCode(
        str(entry_point),
        str(source_dir).removeprefix("file://") if source_dir is not None else None,
        tuple(str(path) for path in dependencies or ()),
    )


def _walk(path: Path, name: str) -> Iterator[tuple[str, Path]]:
    if path.name in _LEFTOVERS and name:
        return
    if not path.is_dir():
        yield name, path
        return
    for child in sorted(path.iterdir()):
        yield from _walk(child, f"{name}/{child.name}" if name else child.name)
