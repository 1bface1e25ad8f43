import json
import operator
import pickle
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from intermodal_serving import codecs, models
from intermodal_serving.errors import ModelLoadError
from intermodal_serving.models import FileKind
from intermodal_serving.settings import Settings
from tests.helpers.serving_process import serving, write_code

LINEAR = """
    import torch

    def model_fn(model_dir):
        model = torch.nn.Linear(2, 1)
        model.load_state_dict(torch.load(model_dir + "/weights.pth", weights_only=True))
        return model.eval()
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear model y = 1 a + 2 b + 3, saved as TorchScript and as a state dict."""
    folder = tmp_path_factory.mktemp("saved")
    program = f"""
import torch
model = torch.nn.Linear(2, 1)
with torch.no_grad():
    model.weight[:] = torch.tensor([[1.0, 2.0]])
    model.bias[:] = 3.0
torch.jit.script(model.eval()).save({str(folder / "model.pt")!r})
torch.save(model.state_dict(), {str(folder / "weights.pth")!r})
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
    return folder


def base_with(tmp_path: Path, *files: Path, name: str | None = None) -> Path:
    model = tmp_path / "model"
    model.mkdir(exist_ok=True)
    for file in files:
        (model / (name or file.name)).write_bytes(file.read_bytes())
    return tmp_path


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "")
    return path


def refusal(base: Path, *, allow_pickle: bool = False) -> ModelLoadError:
    with pytest.raises(ModelLoadError) as caught:
        models.load_default_model(Settings(base_dir=base, allow_pickle=allow_pickle))
    return caught.value


def test_torchscript_without_code_takes_and_gives_every_format(tmp_path: Path, saved: Path) -> None:
    base = base_with(tmp_path, saved / "model.pt", name="digits.pth")
    rows = np.array([[1, 1], [0, 2]], np.float32)
    with serving(base) as server:
        assert server.invoke(b"[[1, 1], [0, 2]]").json == [[6.0], [7.0]]
        assert server.invoke(b"1,1\n0,2\n", "text/csv", Accept="text/csv").body == b"6.0\n7.0\n"
        lines = server.invoke(b"[1,1]\n[0,2]\n", "application/jsonlines")
        assert lines.json == [[6.0], [7.0]]
        binary = server.invoke(codecs.encode(rows, codecs.NPY), codecs.NPY, Accept=codecs.NPY)
        assert binary.headers["content-type"] == codecs.NPY
        assert codecs.decode_npy(binary.body).tolist() == [[6.0], [7.0]]
        double = codecs.encode(rows.astype(np.float64), codecs.NPY)
        assert server.invoke(double, codecs.NPY).json == [[6.0], [7.0]]
        assert server.invoke(b'{"a": 1}').status == 400
        assert server.invoke(b"[[1, 1], [0]]").status == 400
        mismatch = server.invoke(b"[[1, 2, 3]]")
        assert mismatch.status == 500
        assert "shapes cannot be multiplied" in mismatch.json["error"]
        assert "Traceback" not in mismatch.json["error"]
        assert server.terminate() == 0


def test_a_state_dict_is_served_with_a_model_fn_that_builds_the_network(
    tmp_path: Path, saved: Path
) -> None:
    base = write_code(base_with(tmp_path, saved / "weights.pth"), LINEAR)
    with serving(base, SAGEMAKER_NUM_CPUS="1") as server:
        assert server.invoke(b"[[1, 1]]").json == [[6.0]]


def test_a_state_dict_alone_says_what_was_found_and_what_to_add(
    tmp_path: Path, saved: Path
) -> None:
    error = refusal(base_with(tmp_path, saved / "weights.pth"))
    assert "weights.pth is what torch.save wrote" in error.message
    assert "define model_fn(model_dir)" in (error.hint or "")


def test_what_a_file_holds_is_told_by_its_content(tmp_path: Path, saved: Path) -> None:
    assert models.file_kind(saved / "model.pt") is FileKind.TORCHSCRIPT
    assert models.file_kind(saved / "weights.pth") is FileKind.SAVED
    exported = archive(tmp_path / "model.pt2", "model/archive_format", "model/models/model.json")
    assert models.file_kind(exported) is FileKind.EXPORTED
    assert models.file_kind(archive(tmp_path / "x.pt", "readme")) is FileKind.UNKNOWN
    for name, content, kind in [
        ("old.pt", b"\x80\x02pickle", FileKind.SAVED),
        ("cut.pt", b"PK\x03\x04", FileKind.UNKNOWN),
        ("text.pt", b"hello", FileKind.UNKNOWN),
        ("none.pt", b"", FileKind.UNKNOWN),
        ("any.joblib", b"", FileKind.JOBLIB),
    ]:
        (tmp_path / name).write_bytes(content)
        assert models.file_kind(tmp_path / name) is kind


def test_an_empty_model_folder_and_a_missing_one_are_told_apart(tmp_path: Path) -> None:
    assert "there is no model folder" in refusal(tmp_path).message
    (tmp_path / "model").mkdir()
    assert "only: nothing" in refusal(tmp_path).message
    (tmp_path / "model/notes.txt").touch()
    assert "only: notes.txt" in refusal(tmp_path).message


def test_several_models_need_one_that_is_named_model(tmp_path: Path) -> None:
    base = base_with(tmp_path)
    archive(base / "model/a.pt", "x")
    archive(base / "model/b.pth", "x")
    assert "several models: a.pt, b.pth" in refusal(base).message
    archive(base / "model/model.pt", "x")
    assert refusal(base).message.startswith("model.pt is of no format")


def test_a_pickle_is_loaded_only_where_that_is_allowed(tmp_path: Path) -> None:
    base = base_with(tmp_path)
    (base / "model/model.joblib").write_bytes(pickle.dumps(partial(operator.mul, 2)))
    assert "SAGEMAKER_ALLOW_PICKLE=true" in (refusal(base).hint or "")
    with serving(base, SAGEMAKER_ALLOW_PICKLE="true") as server:
        assert server.invoke(b"2\n3\n", "text/csv").json == [[4], [6]]


def test_a_choice_of_threads_that_was_made_already_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_code(
        tmp_path,
        """
        import os
        def model_fn(model_dir):
            return lambda data: [os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]]
        """,
    )
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with serving(tmp_path, OMP_NUM_THREADS="1", SAGEMAKER_NUM_CPUS="3") as server:
        assert json.loads(server.invoke(b"{}").body) == ["1", "3"]
