"""The guides list what a user can call: nothing is missing, and nothing is there that is not."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from intermodal_engine.settings import Settings

ROOT = Path(__file__).parents[3]
GUIDES = ROOT / "docs/guides"


def test_every_command_is_described_and_every_described_command_exists() -> None:
    described = set(re.findall(r"^\| `intermodal ([a-z]+)", read("command-line.md"), re.MULTILINE))
    assert described == set(commands())


@pytest.mark.parametrize("command", ["up", "status", "env", "logs", "prune"])
def test_every_option_of_a_command_is_described(command: str) -> None:
    check_options(command, "command-line.md")


def test_every_drill_and_its_options_are_described() -> None:
    drills = re.findall(r"^    ([a-z-]+)(?:  |$)", help_of("drill"), re.MULTILINE)
    described = re.findall(r"^\| `drill ([a-z-]+)", read("drills.md"), re.MULTILINE)
    assert sorted(described) == sorted(drills)
    for drill in drills:
        check_options(f"drill {drill}", "drills.md")


def check_options(command: str, page: str) -> None:
    guide = read(page)
    options = set(re.findall(r"(--[a-z-]+)", help_of(*command.split())))
    assert [option for option in sorted(options - {"--help"}) if option not in guide] == []


def test_every_place_in_the_home_folder_is_in_the_architecture_page() -> None:
    page = (ROOT / "docs/architecture/02-engine.md").read_text()
    settings = Settings(home=Path("/home"))
    properties = [name for name in dir(Settings) if isinstance(getattr(Settings, name), property)]
    places = {getattr(settings, name).relative_to(settings.home).parts[0] for name in properties}
    assert len(places) > 5
    assert [place for place in sorted(places) if f"`{place}" not in page] == []


def test_every_setting_explains_itself() -> None:
    documentation = Settings.__doc__ or ""
    assert [one.name for one in fields(Settings) if f"{one.name}: " not in documentation] == []


def read(guide: str) -> str:
    return (GUIDES / guide).read_text()


def commands() -> list[str]:
    return re.findall(r"^    ([a-z]+)  ", help_of(), re.MULTILINE)


def help_of(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "intermodal_engine.cli", *command, "--help"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout
