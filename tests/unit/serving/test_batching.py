"""Requests that become one call of the model, and those that must not."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from intermodal_serving.batching import PROOFS, Batcher
from intermodal_serving.invocation import Invocation
from tests.helpers.serving_process import serving, write_code

Predict = Callable[[Any], Any]


class Counted:
    """A model that remembers the shapes it was called with."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, data: Any, _: Any) -> Any:
        self.shapes.append(tuple(data.shape))
        return self._predict(data)


def invocations(*data: Any) -> list[Invocation]:
    nothing: Any = None
    made = []
    for each in data:
        request: Any = SimpleNamespace(body=b"")
        invocation = Invocation(nothing, request, nothing, nothing, ("*/*",), lambda _: None)
        invocation.data = each
        made.append(invocation)
    return made


def proven(model: Counted, *data: Any, goal_s: float | None = None, limit: int = 32) -> Batcher:
    """A batcher that has had its chance to prove that these shapes can be batched."""
    batcher = Batcher(model, limit, goal_s)
    for _ in range(PROOFS):
        batcher.predict(invocations(*data))
    model.shapes.clear()
    return batcher


def predictions(batch: Sequence[Invocation]) -> list[Any]:
    assert [each.outcome for each in batch] == [None] * len(batch)
    return [np.asarray(each.prediction).tolist() for each in batch]


def weights(data: Any) -> Any:
    return data @ np.array([[1.0], [2.0]])


def test_single_rows_are_stacked_and_their_answers_taken_apart() -> None:
    model = Counted(weights)
    batcher = proven(model, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    batch = invocations(*(np.array([float(n), 0.0]) for n in range(5)))
    batcher.predict(batch)
    assert model.shapes == [(5, 2)]
    assert predictions(batch) == [[float(n)] for n in range(5)]


def test_requests_of_several_rows_are_joined_whatever_their_number() -> None:
    model = Counted(weights)
    batcher = proven(model, np.ones((1, 2)), np.zeros((2, 2)))
    batch = invocations(np.ones((3, 2)), np.array([[2.0, 0.0]]), np.zeros((2, 2)))
    batcher.predict(batch)
    assert model.shapes == [(6, 2)]
    assert predictions(batch) == [[[3.0]] * 3, [[2.0]], [[0.0]] * 2]


def test_images_without_an_axis_for_rows_are_stacked_where_joining_gives_other_answers() -> None:
    def predict(images: Any) -> Any:  # of one image [2, 3], or of a batch [n, 2, 3]
        return images.sum(axis=(-1, -2))

    model = Counted(predict)
    one, other = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    batcher = proven(model, one, other)
    batch = invocations(one, other, one)
    batcher.predict(batch)
    assert model.shapes == [(3, 2, 3)]
    assert predictions(batch) == [15.0, 6.0, 15.0]


def test_a_model_whose_answers_depend_on_the_batch_gets_one_request_at_a_time() -> None:
    model = Counted(lambda data: data - data.mean())
    batcher = proven(model, np.array([[1.0]]), np.array([[5.0]]))
    batch = invocations(np.array([[1.0]]), np.array([[5.0]]))
    batcher.predict(batch)
    assert model.shapes == [(1, 1), (1, 1)]
    assert predictions(batch) == [[[0.0]], [[0.0]]]


def test_requests_that_are_all_alike_prove_nothing_by_themselves() -> None:
    model = Counted(lambda data: data - data.mean(axis=0))
    batcher = proven(model, *[np.array([[1.0, 2.0]])] * 4)
    batcher.predict(invocations(*[np.array([[1.0, 2.0]])] * 4))
    assert model.shapes == [(1, 2)] * 4


@pytest.mark.parametrize(
    "predict", [lambda data: data / data.max(), lambda data: data - data.mean()]
)
def test_a_load_of_equal_requests_does_not_hide_what_a_batch_would_change(
    predict: Predict,
) -> None:
    model = Counted(predict)
    batcher = proven(model, *[np.array([[1.0, 2.0, 4.0]])] * 4)
    batch = invocations(np.array([[1.0, 2.0, 4.0]]), np.array([[8.0, 0.0, 0.0]]))
    batcher.predict(batch)
    assert predictions(batch) == [
        predict(each.data).tolist()
        for each in invocations(np.array([[1.0, 2.0, 4.0]]), np.array([[8.0, 0.0, 0.0]]))
    ]


def test_a_prediction_of_another_kind_than_arrays_is_not_taken_apart() -> None:
    class Table:  # as pandas has it: a shape like an array's, but iterated by columns
        def __init__(self, rows: int) -> None:
            self.shape = (rows, 3)

        def __iter__(self) -> Iterator[str]:
            return iter(["a", "b", "c"])

    model = Counted(lambda data: Table(len(data) if data.ndim > 1 else 1))
    batcher = proven(model, np.array([1.0]), np.array([2.0]))
    batch = invocations(np.array([1.0]), np.array([2.0]))
    batcher.predict(batch)
    assert [each.outcome for each in batch] == [None, None]
    assert model.shapes == [(1,), (1,)]


def test_each_call_of_the_model_is_told_before_it_begins() -> None:
    model = Counted(lambda data: "one answer for all")
    begun: list[int] = []
    batch = invocations(*[np.array([float(n)]) for n in range(3)])
    Batcher(model, 32, None).predict(batch, lambda: begun.append(len(model.shapes)))
    assert begun[:3] == [0, 1, 2]


def test_shapes_and_types_that_differ_are_not_mixed() -> None:
    model = Counted(lambda data: data.sum(axis=-1))
    rows = [np.ones(2), np.ones(3), np.ones(2, np.float32), np.zeros(2), np.zeros(3)]
    batcher = proven(model, *rows, *rows)
    batcher.predict(invocations(*rows, *rows))
    assert sorted(model.shapes) == [(2, 2), (4, 2), (4, 3)]


def test_one_bad_request_fails_alone() -> None:
    def predict(data: Any) -> Any:
        if (data < 0).any():
            raise ValueError("negative")
        return data * 2

    model = Counted(predict)
    batcher = proven(model, np.array([1.0]), np.array([2.0]))
    batch = invocations(np.array([1.0]), np.array([-1.0]), np.array([3.0]))
    batcher.predict(batch)
    assert [type(each.outcome) for each in batch] == [type(None), ValueError, type(None)]
    assert predictions([batch[0], batch[2]]) == [[2.0], [6.0]]


@pytest.mark.parametrize(
    "predict",
    [
        lambda data: {"twice": data * 2, "label": ["x"] * len(data)},
        lambda data: (data, data + 1),
        lambda data: [float(row.sum()) for row in data],
    ],
)
def test_answers_of_several_parts_are_taken_apart_part_by_part(predict: Predict) -> None:
    model = Counted(predict)
    rows = [np.array([[float(n), 1.0]]) for n in range(3)]
    batcher = proven(model, *rows)
    batch = invocations(*rows)
    batcher.predict(batch)
    assert model.shapes == [(3, 2)]
    for invocation, row in zip(batch, rows, strict=True):
        assert str(invocation.prediction) == str(predict(row))


def test_an_answer_without_a_part_for_each_request_is_not_guessed_at() -> None:
    model = Counted(lambda data: "one answer for all")
    batcher = proven(model, np.array([1.0]), np.array([2.0]))
    batcher.predict(invocations(np.array([1.0]), np.array([2.0])))
    assert model.shapes == [(1,), (1,)]


def test_a_latency_goal_finds_the_size_of_batches() -> None:
    import time

    def predict(data: Any) -> Any:
        time.sleep(0.002 * len(data))
        return data

    model = Counted(predict)
    rows = [np.array([[float(n)]]) for n in range(32)]
    batcher = proven(model, *rows, goal_s=0.02)
    sizes = []
    for _ in range(80):
        batcher.predict(invocations(*rows[: batcher.limit]))
        sizes.append(batcher.limit)
    assert batcher.limit <= 12  # 2 ms each: 10 fit into 20 ms
    assert max(sizes[40:]) >= 4


TORCH = """
    import torch
    torch.manual_seed(0)

    def model_fn(model_dir):
        return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
"""


def test_a_torch_model_answers_in_batches_what_it_answers_alone(tmp_path: Path) -> None:
    write_code(tmp_path, TORCH)
    rows = [f"[{n}, 0.5, -{n}, 1]".encode() for n in range(40)]
    with serving(tmp_path) as alone:
        expected = [alone.invoke(row).json for row in rows]
    with (
        serving(tmp_path, MAX_BATCH_SIZE="8", MAX_BATCH_DELAY_MS="20") as server,
        ThreadPoolExecutor(8) as clients,
    ):
        for _ in range(4):
            replies = [reply.json for reply in clients.map(server.invoke, rows)]
            np.testing.assert_allclose(replies, expected, rtol=1e-4, atol=1e-5)
        bad = [*rows[:4], b"[1, 2]", b"{", *rows[4:8]]
        statuses = [reply.status for reply in clients.map(server.invoke, bad)]
        metrics = server.ask("GET", "/metrics").body.decode()
    assert statuses == [200] * 4 + [500, 400] + [200] * 4
    assert "are stacked along a new axis" in server.log
    batches = float(metrics.split("batch_requests_count ")[1].split()[0])
    requests = float(metrics.split("batch_requests_sum ")[1].split()[0])
    assert requests / batches > 2


DECLARED = """
    def model_fn(model_dir):
        return []

    def predict_fn(data, model):
        model.append(data.shape)
        return data.sum(axis=-1)
"""


@pytest.mark.parametrize("is_declared", [False, True])
def test_a_predict_fn_gets_batches_only_if_it_says_so(tmp_path: Path, is_declared: bool) -> None:
    marker = "\n    predict_fn.batched = True\n" if is_declared else ""
    write_code(tmp_path, DECLARED + marker)
    with (
        serving(tmp_path, MAX_BATCH_SIZE="4", MAX_BATCH_DELAY_MS="100") as server,
        ThreadPoolExecutor(4) as clients,
    ):
        for _ in range(PROOFS + 1):
            rows = [b"[%d, 1]" % n for n in range(4)]
            assert [r.json for r in clients.map(server.invoke, rows)] == [1, 2, 3, 4]
    assert ("stacked along a new axis" in server.log) is is_declared
    assert ("does not say that it takes batches" in server.log) is not is_declared
