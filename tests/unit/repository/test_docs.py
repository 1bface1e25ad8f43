"""What the documentation says is there, is there; and what is there, it says."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    targets = [link.split("#")[0] for link in LINK.findall(page.read_text())]
    relative = [target for target in targets if target and "://" not in target]
    assert [target for target in relative if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs/architecture").glob("*.md")), ids=name_of)
def test_an_architecture_page_can_be_read_in_one_sitting(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 200


@pytest.mark.parametrize("page", sorted((ROOT / "docs/decisions").glob("*.md")), ids=name_of)
def test_a_decision_has_a_context_a_decision_and_consequences(page: Path) -> None:
    text = page.read_text()
    assert len(text.splitlines()) <= 40
    positions = [text.find(f"**{part}.**") for part in ("Context", "Decision", "Consequences")]
    assert positions[0] > 0
    assert positions == sorted(positions)


def test_the_overview_names_every_architecture_page_in_order() -> None:
    pages = sorted(page.name for page in (ROOT / "docs/architecture").glob("*.md"))
    overview = (ROOT / "docs/architecture" / pages[0]).read_text()
    positions = [overview.find(f"]({page})") for page in pages[1:]]
    assert -1 not in positions
    assert positions == sorted(positions)


def test_every_make_target_explains_itself_and_is_phony() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert targets == explained == set(phony.group(1).replace("\\\n", " ").split())


def test_every_make_target_that_the_documentation_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        # In code only: prose may make anything.
        code = "\n".join(
            re.findall(r"`[^`]+`|^```.*?^```", page.read_text(), re.DOTALL | re.MULTILINE)
        )
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", code, re.MULTILINE))
        assert named <= targets, page


def test_every_dependency_is_accounted_for_in_its_decision() -> None:
    text = (ROOT / "docs/decisions/0008-why-each-dependency.md").read_text()
    for part in (".", "contract", "training", "serving", "engine"):
        table = tomllib.loads((ROOT / part / "pyproject.toml").read_text())
        requirements = list(table["project"]["dependencies"])
        for extra in table["project"].get("optional-dependencies", {}).values():
            requirements += extra
        for group in table.get("dependency-groups", {}).values():
            requirements += group
        names = {re.split(r"[<>=\[]", one)[0] for one in requirements}
        missing = {name for name in names if name not in text and not name.startswith("intermodal")}
        assert missing == set()
