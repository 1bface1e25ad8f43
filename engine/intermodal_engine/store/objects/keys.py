"""How a key becomes a path below its bucket's folder, and a path a key again.

A key's components (split at `/`) are names of folders and, the last one, of a file: `train/a.csv`
is the file `a.csv` in the folder `train`. Nearly every component stands for itself. Names that
begin with `%~` are ours:

    %~TEXT      a component that no file system can hold, or that itself begins with `%~`; in TEXT
                `%` is `%25` and NUL is `%00`. So `%~` is the empty component (the object `a/` is
                the file `a/%~`), `%~.` and `%~..` are the dots
    %~TEXT%m    a folder: the first bytes of a component over 255 bytes; the rest of it is inside
    %~TEXT%o    a file: the object `a` where a folder `a` must be, for the sake of `a/b`

Every name has at most one reading, so a file that a person dropped in has a key at once. A name
that begins with `%~` and is none of these, or that is not UTF-8, is no object.
"""

import re
from dataclasses import dataclass

from intermodal_engine.store.objects.errors import InvalidKeyError, KeyTooLongError

KEY_LIMIT_BYTES = 1024
_NAME_LIMIT_BYTES = 255
_PIECE_LIMIT_BYTES = 240
_PREFIX = "%~"
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_MORE = "%m"
_BESIDE = "%o"


@dataclass(frozen=True, slots=True)
class Name:
    """What one entry of a folder says about keys.

    Attributes:
        text: the component, or the piece of it, that the entry stands for.
        continues: the entry is a folder that holds the rest of the same component.
        beside: the entry is the object whose plain name a folder has taken.
    """

    text: str
    continues: bool = False
    beside: bool = False


def is_bucket_name(name: str) -> bool:
    """Whether S3 would accept it as a bucket's name."""
    return (
        _BUCKET.fullmatch(name) is not None
        and _ADDRESS.fullmatch(name) is None
        and not name.startswith(("xn--", "sthree-"))
        and not name.endswith(("-s3alias", "--ol-s3"))
    )


def check_key(key: str) -> None:
    """Refuses keys that S3 would refuse.

    Raises:
        InvalidKeyError: empty, or no valid Unicode.
        KeyTooLongError: over 1024 bytes.
    """
    if not key:
        raise InvalidKeyError("a key has at least one character")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidKeyError("the key is not valid UTF-8") from error
    if size > KEY_LIMIT_BYTES:
        raise KeyTooLongError(f"the key has {size} bytes; {KEY_LIMIT_BYTES} is the limit")


def path_of(key: str) -> str:
    """The key's path relative to the bucket's folder."""
    return "/".join(name for component in key.split("/") for name in names_of(component))


def beside_path_of(key: str) -> str:
    """The path where the object lies when a folder has its plain path."""
    folders, slash, last = key.rpartition("/")
    names = "/".join(beside_names_of(last))
    return f"{path_of(folders)}/{names}" if slash else names


def folder_of(prefix: str) -> str:
    """The path of the folder for keys that begin with `prefix`, which is empty or ends with `/`."""
    return path_of(prefix[:-1]) if prefix else ""


def names_of(component: str) -> list[str]:
    """The names, outermost first, that stand for one component; nearly always just itself."""
    if not _is_special(component):
        return [component]
    *heads, last = _pieces(component)
    end = _PREFIX + _escape(last) if _is_special(last) else last
    return [*(_PREFIX + _escape(head) + _MORE for head in heads), end]


def beside_names_of(component: str) -> list[str]:
    """The names of the file beside a folder that has the component's own."""
    *heads, last = _pieces(component)
    return [
        *(_PREFIX + _escape(head) + _MORE for head in heads),
        _PREFIX + _escape(last) + _BESIDE,
    ]


def read_name(name: str) -> Name | None:
    """What an entry of a bucket's folder stands for; None where it is no object's."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    if not name.startswith(_PREFIX):
        return Name(name)
    continues, beside = name.endswith(_MORE), name.endswith(_BESIDE)
    escaped = name[len(_PREFIX) : -2] if continues or beside else name[len(_PREFIX) :]
    text = escaped.replace("%00", "\0").replace("%25", "%")
    if _escape(text) != escaped:
        return None
    if not continues and not beside and not _is_special(text):
        return None
    return Name(text, continues, beside)


def is_plain(prefix: str) -> bool:
    """Whether every component of `prefix` stands for itself on disk."""
    return not any(_is_special(component) for component in prefix.split("/")[:-1])


def _is_special(component: str) -> bool:
    return (
        component in {"", ".", ".."}
        or component.startswith(_PREFIX)
        or "\0" in component
        or len(component.encode()) > _NAME_LIMIT_BYTES
    )


def _pieces(component: str) -> list[str]:
    """Cuts between characters, so that each piece is short enough once it is escaped."""
    pieces, piece, size = [], "", 0
    for character in component:
        width = len(_escape(character).encode())
        if size + width > _PIECE_LIMIT_BYTES:
            pieces.append(piece)
            piece, size = "", 0
        piece += character
        size += width
    return [*pieces, piece]


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\0", "%00")
