"""What a job's environment variables are."""

import sys
from dataclasses import replace
from pathlib import Path

from intermodal_engine.drivers.environment import Environment, job_variables
from tests.helpers.driver_stages import make_spec

OWN = Environment(Path(sys.executable), (Path(sys.executable).parent,))


def test_only_what_makes_certificates_and_packages_work_passes(tmp_path: Path) -> None:
    engine = {
        "AWS_ACCESS_KEY_ID": "real",
        "AWS_PROFILE": "real",
        "HF_TOKEN": "real",
        "http_proxy": "real",
        "PYTHONPATH": "real",
        "HOME": "real",
        "PATH": "real",
        "PIP_INDEX_URL": "mirror",
        "SSL_CERT_FILE": "certificates",
    }
    spec = make_spec(tmp_path, 1, ("train",))
    variables = job_variables(spec, OWN, engine)
    assert "real" not in variables.values()
    assert variables["PIP_INDEX_URL"] == "mirror"
    assert variables["SSL_CERT_FILE"] == "certificates"
    assert variables["CUDA_VISIBLE_DEVICES"] == ""


def test_the_specs_own_variables_win(tmp_path: Path) -> None:
    spec = replace(make_spec(tmp_path, 1, ("train",)), environment={"LANG": "de_DE", "X": "1"})
    variables = job_variables(spec, OWN, {"X": "engine"})
    assert (variables["LANG"], variables["X"]) == ("de_DE", "1")
