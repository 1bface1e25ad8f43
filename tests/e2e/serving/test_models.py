import json
import operator
import pickle
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from intermodal_serving import decoding, encoding, models
from intermodal_serving.errors import ModelLoadError
from intermodal_serving.media_types import NPY
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


def save_onnx(folder: Path, *inputs: str) -> None:
    """The same model as an ONNX graph, its input or the sum of its inputs."""
    floats = onnx.TensorProto.FLOAT
    weights = onnx.helper.make_tensor("w", floats, [2, 1], [1, 2])
    bias = onnx.helper.make_tensor("b", floats, [1], [3])
    nodes = [
        onnx.helper.make_node("Sum", inputs, ["x"]),
        onnx.helper.make_node("Gemm", ["x", "w", "b"], ["y"]),
    ]
    values = [onnx.helper.make_tensor_value_info(name, floats, ["n", 2]) for name in inputs]
    results = [onnx.helper.make_tensor_value_info("y", floats, ["n", 1])]
    graph = onnx.helper.make_graph(nodes, "linear", values, results, [weights, bias])
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")


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
        binary = server.invoke(encoding.encode(rows, NPY), NPY, Accept=NPY)
        assert binary.headers["content-type"] == NPY
        assert decoding.decode_npy(binary.body).tolist() == [[6.0], [7.0]]
        double = encoding.encode(rows.astype(np.float64), NPY)
        assert server.invoke(double, NPY).json == [[6.0], [7.0]]
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


def test_an_onnx_graph_is_served_without_code(tmp_path: Path) -> None:
    save_onnx(tmp_path / "model", "x1")
    with serving(tmp_path) as server:
        assert server.invoke(b"[[1, 1], [0, 2]]").json == [[6.0], [7.0]]
        assert server.invoke(b"1,1\n", "text/csv", Accept="text/csv").body == b"6.0\n"
        whole = encoding.encode(np.array([[1, 1]], np.int64), NPY)
        assert server.invoke(whole, NPY).json == [[6.0]]
        assert server.invoke(b'{"x1": [[0, 2]]}').json == [[7.0]]
        for body in (b"[[1, 2, 3]]", b"[1, 2]", b'{"x2": [[0, 2]]}', b'{"x1": "a"}', b'"a"'):
            assert server.invoke(body).status == 400
        assert server.terminate() == 0
    assert "Traceback" not in server.log


def test_an_onnx_graph_of_several_inputs_takes_them_by_name(tmp_path: Path) -> None:
    save_onnx(tmp_path / "model", "left", "right")
    with serving(tmp_path) as server:
        body = b'{"left": [[1, 0], [0, 1]], "right": [[0, 1], [0, 1]]}'
        assert server.invoke(body).json == [[6.0], [7.0]]
        for body in (
            b"[[1, 2]]",
            b'{"left": [[1, 2]]}',
            b'{"left": [[1, 2]], "right": [[1], [2]]}',
        ):
            refused = server.invoke(body)
            assert refused.status == 400
        assert "left, right" in server.invoke(b"[[1, 2]]").json["error"]


def test_a_users_predict_fn_may_use_the_onnx_graph_that_was_loaded_for_it(tmp_path: Path) -> None:
    save_onnx(tmp_path / "model", "x1")
    write_code(tmp_path, "def predict_fn(data, model): return model.predict(data) * 10")
    with serving(tmp_path) as server:
        assert server.invoke(b"[[1, 1]]").json == [[60.0]]


def test_an_onnx_graph_that_is_none_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.onnx").write_bytes(b"no graph")
    with serving(tmp_path, ready=False) as server:
        assert server.wait() == 1
    assert "serve: error: " in server.log
    assert "model.onnx" in server.lines[-1]


@pytest.mark.parametrize(
    ("name", "framework"), [("model.onnx", "onnxruntime"), ("digits-symbol.json", "mxnet")]
)
def test_a_framework_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, framework: str
) -> None:
    base = base_with(tmp_path)
    (base / "model" / name).touch()
    (base / "model/digits-0000.params").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    error = refusal(base)
    assert error.message == f"{name} needs {framework}, which this image does not have"
    assert framework in (error.hint or "")


def test_an_mxnet_network_without_weights_says_which_file_is_missing(tmp_path: Path) -> None:
    base = base_with(tmp_path)
    (base / "model/model-symbol.json").write_text("{}")
    assert "there is no model-0000.params" in refusal(base).message


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
