"""The catalogue is the one place that names frameworks' versions, and its locks are whole."""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from containers.lock import without_hashes
from intermodal_contract.catalogue import (
    FOLDER,
    InvalidCatalogueError,
    Release,
    UnknownFrameworkError,
    nearest,
    read,
    releases,
    served_versions,
)
from intermodal_contract.image import PROGRAMS, Device, Purpose, framework_image

ROOT = Path(__file__).parents[3]
PROGRAM_TREES = (
    "contract",
    "training",
    "serving",
    "sdk",
    "engine",
    "containers",
    ".ci",
    "Makefile",
)
SHOWING_TREES = ("README.md", "docs", "examples", "benchmarks", "tests/helpers")
PIN = re.compile(r"^([a-z0-9][a-z0-9-]*)==([^\s;]+)")
PURPOSES = tuple(PROGRAMS)
every_release = pytest.mark.parametrize("release", releases(), ids=lambda one: one.lock_file.stem)


def project(part: str) -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / part / "pyproject.toml").read_text())
    return table["project"]  # type: ignore[return-value] # a table, as TOML has it


def needed_by(part: str) -> set[str]:
    dependencies = project(part)["dependencies"]
    assert isinstance(dependencies, list)
    names = {re.split(r"[<>=\[]", one)[0] for one in dependencies}
    return {name for name in names if not name.startswith("intermodal")}


def pins(release: Release) -> dict[str, list[str]]:
    """Distribution to its pinned versions: more than one where Pythons differ."""
    found: dict[str, list[str]] = {}
    for line in release.lock_file.read_text().splitlines():
        match = PIN.match(line)
        assert match or line.startswith(("#", "    --hash=sha256:")), line
        if match:
            found.setdefault(match[1], []).append(match[2])
    return found


def files_of(*trees: str) -> list[Path]:
    roots = [ROOT / tree for tree in trees]
    found = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    made = {"__pycache__", "results"}
    return [path for path in found if path.is_file() and made.isdisjoint(path.parts)]


def strings_of(path: Path) -> Iterator[str]:
    """What a program works with: of Python the strings that are no documentation, else all."""
    text = path.read_text(errors="replace")
    if path.suffix != ".py":
        yield re.sub(r"(^|\s)#.*", "", text)
        return
    nodes = list(ast.walk(ast.parse(text)))
    alone = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


@every_release
def test_a_lock_pins_the_framework_pip_and_all_that_our_programs_need(release: Release) -> None:
    pinned = pins(release)
    assert pinned[release.distribution] == [release.version]
    assert {"pip"} | needed_by("training") | needed_by("serving") <= pinned.keys()
    for requirement in release.requires:
        name, operator, version = re.split(r"(==|>=)", requirement)
        for pin in pinned[name]:
            assert pin == version if operator == "==" else newer_or_same(pin, version)


@every_release
def test_everything_in_a_lock_has_hashes_but_what_differs_by_device(release: Release) -> None:
    entries = re.split(r"\n(?=[a-z])", release.lock_file.read_text())[1:]
    bare = {entry.partition("==")[0] for entry in entries if "--hash" not in entry}
    assert bare == set(release.unhashed)


def test_every_lock_belongs_to_a_release() -> None:
    locks = {path for path in (FOLDER / "locks").iterdir() if path.suffix == ".txt"}
    assert locks == {release.lock_file for release in releases()}


@every_release
def test_our_programs_run_on_every_python_of_a_release(release: Release) -> None:
    required = str(project("contract")["requires-python"]).removeprefix(">=")
    assert all(newer_or_same(python, required) for python in release.pythons)


@every_release
@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_image_name_of_ours_leads_back_to_its_release(
    release: Release, purpose: Purpose
) -> None:
    devices: tuple[Device, ...] = release.devices
    assert devices
    for device in devices:
        image = framework_image(release.image(purpose, device))
        assert image is not None
        assert (image.purpose, image.device) == (purpose, device)
        assert nearest(image.framework, image.version) is release


def test_the_extra_that_installs_pytorch_asks_for_what_the_newest_release_is() -> None:
    extras = project(".")["optional-dependencies"]
    assert isinstance(extras, dict)
    newest = [release for release in releases() if release.framework == "pytorch"][-1]
    assert tuple(extras["torch"]) == newest.requirements
    assert (ROOT / "pyproject.toml").read_text().count(newest.version) == 1


def test_no_program_names_a_version_but_through_the_catalogue() -> None:
    known = "|".join(re.escape(release.version) for release in releases())
    version = re.compile(rf"(?<![\d.])({known})(?![\d.])")
    own = {FOLDER / "catalogue.toml", *(release.lock_file for release in releases())}
    named = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in set(files_of(*PROGRAM_TREES)) - own
        for text in strings_of(path)
        for match in version.finditer(text)
    }
    assert named == set()


def test_what_people_are_shown_names_only_images_that_there_are() -> None:
    name = re.compile(r"(?<![\w/-])intermodal/[a-z]+-(?:training|inference):[\w.-]*\d[\w.-]*")
    images = {
        release.image(purpose, device)
        for release in releases()
        for purpose in PURPOSES
        for device in release.devices
    }
    shown = {
        found
        for path in files_of(*SHOWING_TREES)
        for found in name.findall(path.read_text(errors="replace"))
    }
    assert shown
    assert shown - images == set()


def test_the_guides_table_is_the_catalogue() -> None:
    guide = (ROOT / "docs/guides/environments.md").read_text()
    rows = [line for line in guide.splitlines() if re.match(r"\| (pytorch|mxnet) \|", line)]
    assert rows == [
        f"| {one.framework} | {one.version} | {', '.join(one.pythons)} | "
        f"`{one.image('training', 'cpu')}` | {served_versions(one)} |"
        for one in releases()
    ]


def test_the_table_of_images_is_the_catalogue() -> None:
    guide = (ROOT / "docs/guides/images.md").read_text()
    rows = [line for line in guide.splitlines() if line.startswith("| `intermodal/")]
    assert rows == [
        f"| `{one.image('training', device)}` | `{build.base}` | {build.python} | {build.cudnn} |"
        for one in releases()
        for device, build in one.builds.items()
    ]


def test_only_what_differs_by_device_loses_its_hashes_in_a_new_lock() -> None:
    release = replace(releases()[0], unhashed=("torch",))
    solved = (
        "pip==1.0 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n"
        "torch==2.0 ; sys_platform == 'linux' \\\n    --hash=sha256:3\n"
        "torch-extra==1.0 \\\n    --hash=sha256:4\n"
    )
    assert without_hashes(release, solved) == (
        "pip==1.0 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n"
        "torch==2.0 ; sys_platform == 'linux'\n"
        "torch-extra==1.0 \\\n    --hash=sha256:4\n"
    )


FAKE = replace(releases()[0], framework="fake", distribution="fake", requires=())
FAKES = tuple(replace(FAKE, version=version) for version in ("1.2.0", "2.0.1", "2.0.10", "3.1.0"))


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("2.0.1", "2.0.1"),
        ("2.0", "2.0.10"),
        ("2", "2.0.10"),
        ("2.0.9", "2.0.10"),
        ("0.9.0", "1.2.0"),
        ("1.4.1", "2.0.1"),
        ("3.1.0", "3.1.0"),
        ("4.0.0", "3.1.0"),
    ],
)
def test_a_version_is_served_by_itself_else_by_the_next_newer_else_by_the_newest(
    asked: str, served: str
) -> None:
    assert nearest("fake", asked, FAKES).version == served


def test_the_versions_that_are_served_are_told_without_a_gap() -> None:
    assert [served_versions(one, FAKES) for one in FAKES] == [
        "up to 1.2.0",
        "above 1.2.0, up to 2.0.1",
        "above 2.0.1, up to 2.0.10",
        "above 2.0.10",
    ]
    assert served_versions(FAKES[0], FAKES[:1]) == "every version"


def test_a_framework_without_a_release_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownFrameworkError, match=r"tensorflow(.|\n)*it has mxnet, pytorch"):
        nearest("tensorflow", "2.0.0")


ROW = """
[[release]]
framework = "fake"
version = "{}"
distribution = "fake"
module = "fake"
requires = []
pythons = ["3.11"]
apt = []
unhashed = []
"""
CPU = """
[release.cpu]
base = "debian"
python = "3.11"
cudnn = "nobody"
"""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (ROW.format("2.0") + CPU + ROW.format("1.0") + CPU, "fake` 1.0 stands after"),
        (ROW.format("2.0") + CPU + ROW.format("2.0") + CPU, "fake` 2.0 stands after"),
        (ROW.format("latest") + CPU, "fake latest needs a whole version"),
        (ROW.format("2.0") + "colour = 'red'\n", "fake 2.0: .*colour"),
        (ROW.format("2.0").replace("apt = []\n", "") + CPU, "fake 2.0: .*apt"),
        (ROW.format("2.0").replace('["3.11"]', "[]") + CPU, "fake 2.0 needs .*one Python"),
        (ROW.format("2.0"), "fake 2.0 has no table for any device"),
        (ROW.format("2.0") + CPU.replace("cpu", "tpu"), "fake 2.0: `tpu` is no device"),
        (ROW.format("2.0") + CPU.replace("3.11", "3.12"), "fake 2.0: .*3.12.* not among"),
        (ROW.format("2.0") + CPU.replace("nobody", "me"), "fake 2.0: `me` cannot bring cuDNN"),
        (ROW.format("2.0") + CPU + "colour = 'red'\n", "fake 2.0: .*colour"),
    ],
)
def test_a_row_that_is_not_as_it_must_be_is_named(
    text: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "catalogue.toml").write_text(text)
    with pytest.raises(InvalidCatalogueError, match=complaint):
        read(tmp_path)


def newer_or_same(version: str, than: str) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(".")]

    return numbers(version) >= numbers(than)
