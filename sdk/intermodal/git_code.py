"""Code out of a git repository: cloned by the program `git`, which is told secrets unseen.

Keys of `git_config` are the vendor's: `repo`, `branch` (or a tag), `commit`, `2FA_enabled`,
`username`, `password`, `token`.
"""

import os
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intermodal.errors import CodeFetchError, MissingDependencyError
from intermodal.source import UserCode

_TEXTS = ("repo", "branch", "commit", "username", "password", "token")
_TWO_FACTORS = "2FA_enabled"
_SCHEMES = ("https://", "ssh://", "git@", "file://")
# Hosts that take a token as password take any user's name with it; GitHub documents this one.
_ANY_USER = "x-access-token"


def git_problems(config: Any, entry_point: Any) -> list[str]:
    """What is wrong with a `git_config`, a sentence each."""
    if not isinstance(config, Mapping):
        return [f"`git_config`: a {type(config).__name__}; give a dictionary with `repo`"]
    found = [
        f"`git_config`: `{key}` is none of {', '.join((*_TEXTS, _TWO_FACTORS))}"
        for key in config
        if key not in (*_TEXTS, _TWO_FACTORS)
    ]
    for key in _TEXTS:
        value = config.get(key)
        if value is not None and (not isinstance(value, str) or value.startswith("-")):
            found.append(f"`git_config`: `{key}` has to be text that begins with no dash")
    repo = config.get("repo")
    if not repo:
        found.append("`git_config`: `repo` is missing: which repository?")
    elif not str(repo).startswith(_SCHEMES):
        found.append(f"`git_config`: `repo` has to begin with one of {', '.join(_SCHEMES)}")
    if config.get(_TWO_FACTORS) and config.get("password") and not config.get("token"):
        found.append("`git_config`: a password will not do with two factors; give a `token`")
    if entry_point is None:
        found.append("`entry_point` is missing: which script of the repository?")
    return found


class Clone:
    """A repository at one commit, in a temporary folder that goes with this object.

    Args:
        config: what it is cloned by.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.folder = Path(tempfile.mkdtemp(prefix="intermodal-git-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def fetch(self) -> None:
        """Clone it.

        Raises:
            CodeFetchError: git could not, in its own words.
            MissingDependencyError: there is no program `git`.
        """
        branch, commit = self.config.get("branch"), self.config.get("commit")
        which = ["--branch", str(branch)] if branch else []
        # A commit may lie anywhere in the history.
        depth = [] if commit else ["--depth", "1"]
        target = str(self.folder)
        self._git("clone", "--quiet", *depth, *which, "--", str(self.config["repo"]), target)
        if commit:
            self._git("-C", target, "checkout", "--quiet", "--detach", str(commit), "--")

    def code(
        self,
        entry_point: str | Path,
        source_dir: str | Path | None,
        dependencies: Sequence[str | Path],
    ) -> UserCode:
        """The user's code, whose paths are the repository's.

        Raises:
            CodeFetchError: a path, or a link in it, leads out of the repository.
        """
        root = self.folder.resolve()
        script = root / entry_point if source_dir is None else entry_point
        folder = None if source_dir is None else root / source_dir
        code = UserCode(
            str(script),
            None if folder is None else str(folder),
            tuple(str(root / path) for path in dependencies),
        )
        for path in code.files().values() if not code.problems() else ():
            if not path.resolve().is_relative_to(root):
                raise CodeFetchError(f"`{path.relative_to(root)}` leads out of the repository")
        return code

    def _git(self, *arguments: str) -> None:
        try:
            done = subprocess.run(
                ["git", *arguments],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise MissingDependencyError(
                "the program `git` is needed for `git_config`", hint="install git"
            ) from error
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.strip()][-3:]
            raise CodeFetchError(
                f"git could not fetch `{_shown(self.config['repo'])}`: {' '.join(said)}",
                hint="see `repo`, `branch` and `commit`; a private one needs `token`, or "
                "`username` and `password`, or an SSH key without a passphrase",
            )

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        environment.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        secret = self.config.get("token") or self.config.get("password")
        if secret and str(self.config["repo"]).startswith("https://"):
            import base64

            user = self.config.get("username") or _ANY_USER
            credentials = base64.b64encode(f"{user}:{secret}".encode()).decode()
            index = int(environment.get("GIT_CONFIG_COUNT", "0"))
            host = "/".join(_shown(self.config["repo"]).split("/")[:3])
            environment |= {
                "GIT_CONFIG_COUNT": str(index + 1),
                f"GIT_CONFIG_KEY_{index}": f"http.{host}/.extraHeader",
                f"GIT_CONFIG_VALUE_{index}": f"Authorization: Basic {credentials}",
            }
        return environment


def cloned(config: Mapping[str, Any]) -> Clone:
    """The repository, fetched.

    Raises:
        CodeFetchError: git could not, in its own words.
        MissingDependencyError: there is no program `git`.
    """
    clone = Clone(config)
    clone.fetch()
    return clone


def _shown(repo: str) -> str:
    """The address without what may be a secret in it."""
    scheme, _, rest = repo.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if rest else repo
