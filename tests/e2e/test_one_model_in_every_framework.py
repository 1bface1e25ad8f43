"""One network with the same weights, served from every framework: the same answers to all inputs.

None of the model folders holds code but that of plain Python. MXNet runs in the environment that
the engine makes for its image, with the numpy of its time.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from intermodal_contract.catalogue import releases
from intermodal_engine.drivers.base import StartFailedError
from intermodal_engine.drivers.environment import Environments
from intermodal_serving import decoding, encoding
from intermodal_serving.media_types import CSV, NPY
from tests.helpers.serving_process import Serving, serving, write_code

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

[MXNET_RELEASE] = [one for one in releases() if one.framework == "mxnet"]
SIZES = (4, 8, 3)

PLAIN = """
    import json, pathlib

    class Network:
        def __init__(self, layers):
            self.layers = layers

        def predict(self, rows):
            for number, (weights, biases) in enumerate(self.layers):
                rows = [
                    [bias + sum(map(float.__mul__, row, weight))
                     for weight, bias in zip(weights, biases)]
                    for row in rows
                ]
                if number == 0:
                    rows = [[max(0.0, value) for value in row] for row in rows]
            return rows

    def model_fn(model_dir):
        return Network(json.loads(pathlib.Path(model_dir, "layers.json").read_text()))

    def input_fn(body, content_type):
        return [[float(value) for value in row] for row in json.loads(body)]
"""

TORCH = """
import json, sys
import torch

layers = json.loads(sys.argv[1])
network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
with torch.no_grad():
    for layer, (weights, biases) in zip((network[0], network[2]), layers):
        layer.weight[:], layer.bias[:] = torch.tensor(weights), torch.tensor(biases)
torch.jit.script(network).save(sys.argv[2])
rows = torch.export.Dim("rows")
program = torch.export.export(network, (torch.zeros(2, 4),), dynamic_shapes=({0: rows},))
torch.export.save(program, sys.argv[3])
"""

MXNET = """
import json, sys
import mxnet as mx

layers = json.loads(sys.argv[1])
network = mx.gluon.nn.HybridSequential()
network.add(mx.gluon.nn.Dense(8, activation="relu"), mx.gluon.nn.Dense(3))
network.initialize()
network.hybridize()
network(mx.nd.zeros((1, 4)))
for layer, (weights, biases) in zip(network, layers):
    layer.weight.set_data(mx.nd.array(weights))
    layer.bias.set_data(mx.nd.array(biases))
network(mx.nd.zeros((1, 4)))
network.export(sys.argv[2])
"""

Layers = list[tuple[list[list[float]], list[float]]]


@pytest.fixture(scope="module")
def layers() -> Layers:
    chance = np.random.default_rng(7)
    return [
        (chance.normal(size=(b, a)).tolist(), chance.normal(size=b).tolist())
        for a, b in pairwise(SIZES)
    ]


@pytest.fixture(scope="module")
def rows() -> Any:
    return np.random.default_rng(8).normal(size=(5, SIZES[0])).astype(np.float32)


@pytest.fixture(scope="module")
def expected(layers: Layers, rows: Any) -> Any:
    (w1, b1), (w2, b2) = layers
    return np.maximum(rows @ np.array(w1).T + b1, 0) @ np.array(w2).T + b2


@pytest.fixture(scope="module")
def torch_files(layers: Layers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("torch")
    files = {"torchscript": folder / "model.pt", "torch.export": folder / "model.pt2"}
    arguments = [json.dumps(layers), *map(str, files.values())]
    subprocess.run([sys.executable, "-W", "ignore", "-c", TORCH, *arguments], check=True)
    return files


@pytest.fixture(scope="module")
def mxnet_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where `python` and `serve` of MXNet's environment lie."""
    with closing(Environments(tmp_path_factory.mktemp("environments"))) as environments:
        environment = environments.resolve(MXNET_RELEASE.image("inference", "cpu"))
        try:
            environment.make(print)  # type: ignore[misc]  # MXNet is never in the tests' own
        except StartFailedError as error:
            if "uv said" not in str(error):
                raise
            pytest.skip(f"MXNet IS NOT TESTED: its environment cannot be had here: {error}")
        yield environment.python.parent


def assert_answers(server: Serving, rows: Any, expected: Any) -> None:
    """By JSON, CSV and NPY, all rows and the first alone."""
    text = json.dumps(rows.tolist()).encode()
    assert np.allclose(server.invoke(text).json, expected, atol=1e-5)
    assert np.allclose(server.invoke(json.dumps(rows[:1].tolist()).encode()).json, expected[:1],
                       atol=1e-5)  # fmt: skip
    csv = encoding.encode(rows, CSV)
    as_csv = server.invoke(csv, CSV, Accept=CSV).body
    assert np.allclose(np.loadtxt(as_csv.decode().splitlines(), delimiter=","), expected, atol=1e-4)
    npy = encoding.encode(rows, NPY)
    answer = server.invoke(npy, NPY, Accept=NPY).body
    assert np.allclose(decoding.decode_npy(answer), expected, atol=1e-5)
    double = encoding.encode(rows.astype(np.float64), NPY)
    assert np.allclose(server.invoke(double, NPY).json, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["torchscript", "torch.export"])
def test_pytorch(
    tmp_path: Path, torch_files: dict[str, Path], rows: Any, expected: Any, kind: str
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / torch_files[kind].name).write_bytes(torch_files[kind].read_bytes())
    with serving(tmp_path) as server:
        assert_answers(server, rows, expected)
        assert server.terminate() == 0
    assert f"loaded {torch_files[kind].name} with torch {version('torch')}\n" in server.log


def test_onnx(tmp_path: Path, layers: Layers, rows: Any, expected: Any) -> None:
    floats = onnx.TensorProto.FLOAT
    helper = onnx.helper
    tensors = [
        helper.make_tensor(f"{name}{number}", floats, array.shape, array.ravel())
        for number, layer in enumerate(layers)
        for name, array in zip(("w", "b"), map(np.array, layer), strict=True)
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w1", "b1"], ["y"], transB=1),
    ]
    x = helper.make_tensor_value_info("x", floats, ["rows", SIZES[0]])
    y = helper.make_tensor_value_info("y", floats, ["rows", SIZES[-1]])
    graph = helper.make_graph(nodes, "network", [x], [y], tensors)
    opset = helper.make_opsetid("", 17)
    (tmp_path / "model").mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[opset], ir_version=10),
        tmp_path / "model/model.onnx",
    )
    with serving(tmp_path) as server:
        assert_answers(server, rows, expected)
        assert server.terminate() == 0
    assert f"loaded model.onnx with onnxruntime {version('onnxruntime')}\n" in server.log


def test_plain_python(tmp_path: Path, layers: Layers, rows: Any, expected: Any) -> None:
    write_code(tmp_path, PLAIN)
    (tmp_path / "model/layers.json").write_text(json.dumps(layers))
    with serving(tmp_path) as server:
        answer = server.invoke(json.dumps(rows.tolist()).encode()).json
        assert np.allclose(answer, expected, atol=1e-5)
        assert server.terminate() == 0


def test_scikit_learn(tmp_path: Path, rows: Any) -> None:
    """Its own model: a network of these weights would have to be trained first."""
    (tmp_path / "model").mkdir()
    program = f"""
import joblib, numpy
from sklearn.linear_model import LinearRegression
rows = numpy.eye(4)
joblib.dump(LinearRegression().fit(rows, rows @ [1, 2, 3, 4]),
            {str(tmp_path / "model/model.joblib")!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    with serving(tmp_path, ready=False) as server:
        assert server.wait() == 1
        assert "SAGEMAKER_ALLOW_PICKLE=true" in server.lines[-1]
    with serving(tmp_path, SAGEMAKER_ALLOW_PICKLE="true") as server:
        answer = server.invoke(json.dumps(rows.tolist()).encode()).json
        assert server.terminate() == 0
    assert np.asarray(answer).shape == (5,)


@pytest.mark.parametrize("batch", ["1", "4"])
def test_mxnet_in_its_own_environment(
    tmp_path: Path, mxnet_programs: Path, layers: Layers, rows: Any, expected: Any, batch: str
) -> None:
    (tmp_path / "model").mkdir()
    subprocess.run(
        [mxnet_programs / "python", "-W", "ignore", "-c", MXNET, json.dumps(layers),
         str(tmp_path / "model/network")],
        check=True,
    )  # fmt: skip
    found = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert found == ["network-0000.params", "network-symbol.json"]
    with serving(tmp_path, program=mxnet_programs / "serve", MAX_BATCH_SIZE=batch) as server:
        assert_answers(server, rows, expected)
        assert server.invoke(b'{"a": 1}').status == 400
        assert server.invoke(b"[[1, 2], [3]]").status == 400
        assert server.ask("GET", "/ping").status == 200
        assert server.terminate() == 0
    assert "Traceback" not in server.log
    assert "Warning" not in server.log
    assert f"loaded network-symbol.json with mxnet {MXNET_RELEASE.version}\n" in server.log
