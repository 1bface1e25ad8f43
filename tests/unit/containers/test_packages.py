"""What of this machine's settings for packages reaches a build."""

import subprocess

from containers.packages import index_settings

CLEAN = {"PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": "/dev/null", "HOME": "/nonexistent"}


def heard(settings: str) -> dict[str, str]:
    """What a shell knows after it has read them."""
    done = subprocess.run(
        ["sh", "-c", f"{settings}\nenv"], env={}, capture_output=True, text=True, check=True
    )
    return dict(
        line.split("=", 1) for line in done.stdout.splitlines() if "_" in line.split("=")[0]
    )


def test_without_settings_nothing_is_said() -> None:
    assert index_settings(CLEAN) == ""


def test_an_index_reaches_pip_and_uv_whatever_its_password() -> None:
    address = "https://me:it's $ecret@index.example/simple"
    told = heard(index_settings({**CLEAN, "PIP_INDEX_URL": address.replace(" ", "%20")}))
    assert told["PIP_INDEX_URL"] == address.replace(" ", "%20")
    assert told["UV_DEFAULT_INDEX"] == address.replace(" ", "%20")


def test_folders_of_this_machine_stay_here() -> None:
    settings = {
        **CLEAN,
        "PIP_FIND_LINKS": "/opt/wheels",
        "PIP_EXTRA_INDEX_URL": "file:///opt/simple https://cpu.example/whl",
        "PIP_CERT": "/etc/ssl/mine.pem",
    }
    told = heard(index_settings(settings))
    assert told["PIP_EXTRA_INDEX_URL"] == "https://cpu.example/whl"
    assert told["UV_INDEX"] == "https://cpu.example/whl"
    assert not any("/opt/" in value or "mine.pem" in value for value in told.values())


def test_uvs_own_variables_win() -> None:
    told = heard(
        index_settings({**CLEAN, "UV_INDEX": "https://a", "PIP_EXTRA_INDEX_URL": "https://b"})
    )
    assert told["UV_INDEX"] == "https://a"
