"""When a folder on disk shows exactly the objects under a prefix, so that none need be copied."""

import os
import stat
from pathlib import Path

from intermodal_engine.store.objects import keys
from intermodal_engine.store.objects.layout import Layout
from intermodal_engine.store.objects.tree import Walk, is_real_folder, successor


def folder_view(layout: Layout, bucket: str, prefix: str) -> Path | None:
    """The folder that holds every object whose key begins with `prefix`, under the rest of its key.

    None where there is no such folder: other keys share the prefix, or a name in it is escaped.
    """
    if prefix and not prefix.endswith("/"):
        if _has_other_keys(layout, bucket, prefix):
            return None
        prefix += "/"
    folder = layout.bucket(bucket) / keys.folder_of(prefix)
    if not is_real_folder(folder) or not _shows_keys_as_they_are(folder):
        return None
    return folder


def _has_other_keys(layout: Layout, bucket: str, prefix: str) -> bool:
    folder = layout.bucket(bucket)
    first = next(Walk(folder, layout.root, prefix), None)
    if first is None:
        return False
    inside = prefix + "/"
    before = next(Walk(folder, layout.root, prefix, delimiter="/"), None)
    behind = successor(inside)
    return (
        getattr(before, "text", None) != inside
        or behind is None
        or next(Walk(folder, layout.root, prefix, behind), None) is not None
    )


def _shows_keys_as_they_are(folder: Path) -> bool:
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            found = keys.read_name(name)
            if found is None or found.text != name:
                return False
            if not _is_plain_file_or_folder(Path(place, name)):
                return False
    return True


def _is_plain_file_or_folder(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
