"""A container that serves many models, run as a container runs it."""

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.helpers.serving_process import LIMIT_S, Reply, Serving, serving, write_code

MIB = 2**20

SAYS = """
    def model_fn(model_dir):
        return {word!r}

    def predict_fn(data, model):
        return [model, data]
"""

PID = """
    import os

    def model_fn(model_dir):
        return None

    def predict_fn(data, model):
        return os.getpid()
"""


def put_model(base: Path, name: str, source: str, **helpers: str) -> str:
    """A model folder as the platform makes it, and the URL that the platform would send."""
    folder = base / "models" / name
    write_code(folder, source)
    for helper, text in helpers.items():
        write_code(folder, text, f"{helper}.py")
    return f"/opt/ml/models/{name}/model"


class Models:
    """What the platform asks of a multi-model container."""

    def __init__(self, server: Serving) -> None:
        self.server = server

    def load(self, name: Any, url: Any) -> Reply:
        body = json.dumps({"model_name": name, "url": url}).encode()
        return self.server.ask("POST", "/models", body, {"Content-Type": "application/json"})

    def unload(self, name: str) -> Reply:
        return self.server.ask("DELETE", f"/models/{quote(name, safe='')}")

    def get(self, name: str) -> Reply:
        return self.server.ask("GET", f"/models/{quote(name, safe='')}")

    def invoke(self, name: str, body: bytes = b"1") -> Reply:
        path = f"/models/{quote(name, safe='')}/invoke"
        return self.server.ask("POST", path, body, {"Content-Type": "application/json"})

    def names(self) -> list[str]:
        listed = self.server.ask("GET", "/models").json["models"]
        return sorted(model["modelName"] for model in listed)

    def count(self, metric: str) -> float:
        text = self.server.ask("GET", "/metrics").body.decode()
        found = re.search(rf"^intermodal_serving_{metric} (.+)$", text, re.MULTILINE)
        assert found is not None
        return float(found[1])

    def ask_until(self, name: str, enough: Callable[[list[Reply]], bool]) -> list[Reply]:
        """Invocations on connections of their own, which reach all workers by and by."""
        replies: list[Reply] = []
        ends_at = time.monotonic() + LIMIT_S
        while not enough(replies):
            assert time.monotonic() < ends_at, [(r.status, r.body) for r in replies[-20:]]
            with ThreadPoolExecutor(8) as clients:
                replies += clients.map(self.invoke, [name] * 16)
        return replies

    def load_everywhere(self, name: str, workers: int) -> set[int]:
        """The ids of all workers, each of which has the model then; the model must be `PID`."""

        def all_have_answered(replies: list[Reply]) -> bool:
            return len({reply.json for reply in replies}) == workers

        return {reply.json for reply in self.ask_until(name, all_have_answered)}


@contextmanager
def many_models(base: Path, workers: int = 1, **environment: str) -> Iterator[Models]:
    environment["SAGEMAKER_MULTI_MODEL"] = "true"
    environment["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(workers)
    with serving(base, ready=True, program=None, **environment) as server:
        yield Models(server)


@pytest.fixture(scope="module")
def wary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """A server among whose models some lead elsewhere; nothing stays loaded in it."""
    base, elsewhere = tmp_path_factory.mktemp("ml"), tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "inner").mkdir()
    (elsewhere / "secret").write_text("secret")
    put_model(base, "a", SAYS.format(word="a"))
    put_model(base, "file-elsewhere", SAYS.format(word="b"))
    (base / "models/folder-elsewhere").symlink_to(elsewhere)
    (base / "models/file-elsewhere/model/weights").symlink_to(elsewhere / "secret")
    with many_models(base) as models:
        yield models


def eventually(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.02)


def test_a_model_is_loaded_listed_asked_and_unloaded_with_the_platforms_codes(
    tmp_path: Path,
) -> None:
    url = put_model(tmp_path, "a", SAYS.format(word="a"))
    with many_models(tmp_path) as models:
        assert models.server.ask("GET", "/ping").status == 200
        assert models.server.ask("GET", "/models").json == {"models": []}
        assert models.get("a").status == 404
        unknown = models.invoke("a")
        assert (unknown.status, unknown.json["type"]) == (404, "ModelNotFoundError")
        assert models.unload("a").status == 404

        described = {"modelName": "a", "modelUrl": url}
        loaded = models.load("a", url)
        assert (loaded.status, loaded.json) == (200, described)
        again = models.load("a", url)
        assert (again.status, again.json["type"]) == (409, "ModelExistsError")
        assert models.get("a").json == described
        assert models.server.ask("GET", "/models").json == {"models": [described]}
        assert models.invoke("a", b"[7]").json == ["a", [7]]
        assert models.count("model_loads_total") == 1

        assert models.unload("a").status == 200
        assert models.get("a").status == models.invoke("a").status == 404
        assert models.load("a", url).status == 200
        assert models.server.terminate() == 0
    assert "Traceback" not in models.server.log
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_an_invocation_may_name_its_model_in_the_header(tmp_path: Path) -> None:
    url = put_model(tmp_path, "a", SAYS.format(word="a"))
    with many_models(tmp_path) as models:
        models.load("some/a.tar.gz", url)
        server = models.server
        assert server.invoke(b"1", X_Amzn_SageMaker_Target_Model="some/a.tar.gz").json == ["a", 1]
        assert server.invoke(b"1", X_Amzn_SageMaker_Target_Model="other").status == 404
        assert server.invoke(b"1").status == 400
        assert models.invoke("some/a.tar.gz").json == ["a", 1]


def test_one_model_containers_have_no_such_paths(tmp_path: Path) -> None:
    with serving(write_code(tmp_path, SAYS.format(word="a"))) as server:
        assert server.ask("GET", "/models").status == 404
        assert server.ask("POST", "/models/a/invoke", b"1").status == 404


def test_methods_that_a_path_does_not_take_are_named(tmp_path: Path) -> None:
    with many_models(tmp_path) as models:
        refused = models.server.ask("PUT", "/models", b"{}")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST, OPTIONS")
        refused = models.server.ask("GET", "/models/a/invoke")
        assert (refused.status, refused.headers["allow"]) == (405, "POST, OPTIONS")
        for path in ("/models/", "/models//invoke", "/models/a/", "/models/a/invoke/b", "/modelsx"):
            assert models.server.ask("GET", path).status == 404


def test_the_list_comes_in_pages_until_no_token_is_left(tmp_path: Path) -> None:
    names = {f"model {number}" for number in range(5)}
    url = put_model(tmp_path, "a", SAYS.format(word="a"))
    with many_models(tmp_path) as models:
        for name in names:
            assert models.load(name, url).status == 200
        pages: list[list[str]] = []
        token = ""
        while True:
            page = models.server.ask("GET", f"/models?limit=2{token}").json
            pages.append([model["modelName"] for model in page["models"]])
            if "nextPageToken" not in page:
                break
            token = f"&next_page_token={page['nextPageToken']}"
        assert [len(page) for page in pages] == [2, 2, 1]
        assert {name for page in pages for name in page} == names
        assert "nextPageToken" not in models.server.ask("GET", "/models?limit=5").json
        for query in ("limit=0", "limit=x", "limit=-1", "limit=1001", "next_page_token=..%2Fa"):
            assert models.server.ask("GET", f"/models?{query}").status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        b'{"model_name": "a"}',
        b'{"model_name": 1, "url": "/opt/ml/models/a/model"}',
        b'{"model_name": "", "url": "/opt/ml/models/a/model"}',
        b'{"model_name": "a\\nb", "url": "/opt/ml/models/a/model"}',
        b'{"model_name": "a\\u0000", "url": "/opt/ml/models/a/model"}',
        b'{"model_name": "%s", "url": "/opt/ml/models/a/model"}' % (b"a" * 1025),
        b"[" * 100_000,
    ],
)
def test_a_load_without_a_sane_name_is_refused(wary: Models, body: bytes) -> None:
    refused = wary.server.ask("POST", "/models", body)
    assert (refused.status, refused.json["type"]) == (400, "BadRequestError")
    assert wary.names() == []


@pytest.mark.parametrize("name", ["..", "../../etc/passwd", "a/invoke", "ä €", "a" * 1024, "%2e"])
def test_a_name_is_opaque_and_never_part_of_a_path(wary: Models, name: str) -> None:
    assert wary.load(name, "/opt/ml/models/a/model").status == 200
    assert wary.names() == [name]
    assert wary.invoke(name).json == ["a", 1]
    assert wary.get(name).json["modelName"] == name
    assert wary.unload(name).status == 200


def test_names_in_paths_that_are_no_text_are_refused(wary: Models) -> None:
    assert wary.server.ask("GET", "/models/%ff").status == 400
    assert wary.server.ask("GET", "/models/a%0ab").status == 400
    assert wary.server.ask("GET", "/models/%zz").status == 404
    assert wary.server.invoke(b"1", X_Amzn_SageMaker_Target_Model="\xff").status == 400


@pytest.mark.parametrize(
    "url",
    [
        7,
        "",
        "s3://bucket/model",
        "file:///opt/ml/models/a/model",
        "models/a/model",
        "/etc",
        "//opt/ml/models/a/model",
        "/opt/ml",
        "/opt/ml/models",
        "/opt/ml/models/../../etc",
        "/opt/ml/models/a/../a/model",
        "/opt/ml/models/a\x00/model",
        "/opt/ml/models/missing/model",
        "/opt/ml/models/a/model/code/inference.py",
        "/opt/ml/models/folder-elsewhere",
        "/opt/ml/models/folder-elsewhere/inner",
        "/opt/ml/models/file-elsewhere/model",
        "/opt/ml/models/" + "a" * 5000,
    ],
)
def test_a_url_that_is_no_model_folder_is_refused(wary: Models, url: Any) -> None:
    refused = wary.load("a", url)
    assert (refused.status, refused.json["type"]) == (400, "BadRequestError"), refused.json
    assert b"secret" not in refused.body
    assert wary.names() == []


def test_links_that_stay_among_the_models_are_followed(tmp_path: Path) -> None:
    url = put_model(tmp_path, "a", "def model_fn(d): return open(d + '/weights').read()")
    (tmp_path / "models/a/blob").write_text("weights")
    (tmp_path / "models/a/model/weights").symlink_to("../blob")
    source = (tmp_path / "models/a/model/code/inference.py").read_text()
    write_code(tmp_path / "models/a", f"{source}\ndef predict_fn(data, model): return model")
    with many_models(tmp_path) as models:
        assert models.load("a", url).status == 200
        assert models.invoke("a").json == "weights"


def test_modules_of_one_name_in_two_models_do_not_meet(tmp_path: Path) -> None:
    source = """
        import helper
        from helper import word
        from package import inner

        def model_fn(model_dir):
            from late_at_load import more
            return [helper.word, word, inner.word, more]

        def predict_fn(data, model):
            import importlib
            import pickle
            import late
            import package.late_too
            again = pickle.loads(pickle.dumps(helper.Thing()))
            return [*model, late.word, package.late_too.word, again.word,
                    importlib.import_module("helper").word, __name__]
    """
    urls = {}
    for name in "ab":
        urls[name] = put_model(
            tmp_path,
            name,
            source,
            helper=f"word = '{name}'\nclass Thing:\n    word = '{name}'",
            late_at_load=f"more = '{name}'",
            late="from helper import word",
        )
        package = tmp_path / "models" / name / "model" / "code" / "package"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "inner.py").write_text("from .base import word")
        (package / "base.py").write_text(f"word = '{name}'")
        (package / "late_too.py").write_text("from . import inner\nword = inner.word")
    with many_models(tmp_path) as models:
        for name, url in urls.items():
            assert models.load(name, url).status == 200
        for name in "abba":
            assert models.invoke(name).json == [name] * 8 + ["inference"]


def test_async_handlers_import_their_own_modules_while_another_models_lie_there(
    tmp_path: Path,
) -> None:
    source = """
        async def model_fn(model_dir):
            import helper
            return helper.word

        async def predict_fn(data, model):
            from helper import word
            import late
            return [model, word, late.word]
    """
    with many_models(tmp_path) as models:
        for name in "ab":
            helper = f"word = '{name}'"
            url = put_model(tmp_path, name, source, helper=helper, late="from helper import word")
            assert models.load(name, url).status == 200
        for name in "abba":
            assert models.invoke(name).json == [name] * 3


def test_a_helper_may_not_stand_for_pythons_own_modules(tmp_path: Path) -> None:
    source = """
        import json
        import library
        def model_fn(model_dir):
            return library.word
        def predict_fn(data, model):
            return [model, json.loads("2")]
    """
    with many_models(tmp_path) as models:
        for name in "ab":
            word = f"word = '{name}'"
            url = put_model(tmp_path, name, source, json="loads = None", library=word)
            assert models.load(name, url).status == 200
            assert models.invoke(name).json == [name, 2]
        assert models.invoke("a").json == ["a", 2]


def test_modules_that_code_finds_by_a_path_of_its_own_do_not_meet_either(tmp_path: Path) -> None:
    source = """
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "vendored"))
        import library
        def model_fn(model_dir):
            return None
        def predict_fn(data, model):
            import second
            return [library.word, second.word]
    """
    with many_models(tmp_path) as models:
        for name in "ab":
            url = put_model(tmp_path, name, source)
            vendored = tmp_path / "models" / name / "model" / "code" / "vendored"
            vendored.mkdir()
            (vendored / "library.py").write_text(f"word = '{name}'")
            (vendored / "second.py").write_text(f"word = '{name}'")
            assert models.load(name, url).status == 200
            assert models.invoke(name).json == [name] * 2
        assert models.invoke("a").json == ["a"] * 2


def test_models_without_code_share_the_containers(tmp_path: Path) -> None:
    write_code(
        tmp_path,
        """
        import pathlib
        def model_fn(model_dir, context):
            assert context.system_properties["model_name"]
            return pathlib.Path(model_dir, "word").read_text()
        def predict_fn(data, model):
            return model
        """,
    )
    with many_models(tmp_path, SAGEMAKER_SUBMIT_DIRECTORY="/opt/ml/model/code") as models:
        for name in "ab":
            folder = tmp_path / "models" / name / "model"
            folder.mkdir(parents=True)
            (folder / "word").write_text(name)
            assert models.load(name, f"/opt/ml/models/{name}/model").status == 200
        assert [models.invoke(name).json for name in "aba"] == ["a", "b", "a"]


def test_a_model_that_cannot_load_says_why_and_harms_no_other(tmp_path: Path) -> None:
    good = put_model(tmp_path, "good", SAYS.format(word="good"))
    with many_models(tmp_path) as models:
        assert models.load("good", good).status == 200
        for number, (source, reason) in enumerate(
            [
                ("def model_fn(d):\n    raise ValueError('weights do not fit')",
                 "ValueError: weights do not fit (inference.py:2)"),
                ("import no_such_module", "No module named 'no_such_module' (inference.py:1)"),
                ("import sys; sys.exit(3)", "inference.py called sys.exit(3)"),
                ("def model_fn(d): exit(3)", "SystemExit: 3"),
                ("def model_fn(): pass", "model_fn() has the wrong arguments"),
                ("x = 1", "no model that loads by itself is in"),
            ]
        ):  # fmt: skip
            url = put_model(tmp_path, f"bad-{number}", source)
            broken = models.load("bad", url)
            assert (broken.status, broken.json["type"]) == (500, "BrokenModelError")
            assert reason in broken.json["error"]
            assert b"Traceback" not in broken.body
            assert models.get("bad").status == models.invoke("bad").status == 404
            assert models.invoke("good").json == ["good", 1]
        assert models.names() == ["good"]
        assert models.server.ask("GET", "/ping").status == 200
    assert "intermodal_serving/" not in models.server.log


def test_ping_and_other_paths_answer_while_a_model_loads(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    slow = put_model(
        tmp_path,
        "slow",
        f"def model_fn(d): print('loading', flush=True); return open({str(gate)!r}).read()\n"
        "def predict_fn(data, model): return model",
    )
    beside = put_model(
        tmp_path,
        "beside",
        """
        async def model_fn(model_dir): return None
        async def input_fn(body, content_type): return body
        async def predict_fn(data, model): return data
        async def output_fn(prediction, accept): return prediction
        """,
    )
    with many_models(tmp_path) as models, ThreadPoolExecutor(3) as clients:
        assert models.load("beside", beside).status == 200
        loading = clients.submit(models.load, "slow", slow)
        models.server.wait_for("loading\n")
        assert models.server.ask("GET", "/ping").status == 200
        assert models.names() == ["beside"]
        assert models.get("slow").status == 404
        early = clients.submit(models.invoke, "slow")
        second = clients.submit(models.load, "slow", slow)
        # All of its steps are `async`: it needs nothing of the model's thread.
        assert models.invoke("beside").body == b"1"
        gate.write_text("through")
        assert loading.result().status == 200
        assert second.result().status == 409
        assert early.result().json == "through"
        assert models.invoke("slow").json == "through"
        assert models.count("model_loads_total") == 2


def test_a_load_that_takes_longer_than_an_invocation_may_is_let_be(tmp_path: Path) -> None:
    slow = put_model(
        tmp_path,
        "slow",
        """
        import time
        def model_fn(model_dir):
            print("loading", flush=True)
            time.sleep(0.8)
        def predict_fn(data, model):
            return data
        """,
    )
    with (
        many_models(tmp_path, SAGEMAKER_MODEL_SERVER_TIMEOUT="0.3") as models,
        ThreadPoolExecutor(2) as clients,
    ):
        loading = clients.submit(models.load, "slow", slow)
        models.server.wait_for("loading")
        early = clients.submit(models.invoke, "slow")
        while not loading.done():
            assert models.server.ask("GET", "/ping").status == 200
            time.sleep(0.05)
        assert loading.result().status == 200
        assert early.result().status == 504
        assert "still loading" in early.result().json["error"]
        assert models.invoke("slow").status == 200


def test_many_first_requests_load_a_model_once_in_each_worker(tmp_path: Path) -> None:
    url = put_model(tmp_path, "a", "import time\ntime.sleep(0.3)\n" + _dedented(PID))
    with many_models(tmp_path, workers=2) as models:
        assert models.load("a", url).status == 200
        workers = models.load_everywhere("a", 2)
        assert len(workers) == 2
        assert models.count("model_loads_total") == 2


def test_what_one_worker_loads_and_unloads_all_workers_know(tmp_path: Path) -> None:
    url = put_model(tmp_path, "a", PID)
    with many_models(tmp_path, workers=2) as models:
        assert models.load("a", url).status == 200
        models.load_everywhere("a", 2)
        assert models.unload("a").status == 200
        assert {models.invoke("a").status for _ in range(20)} == {404}
        assert models.count("model_bytes") == 0
        # The same name may then stand for another model.
        other = put_model(tmp_path, "b", SAYS.format(word="b"))
        assert models.load("a", other).status == 200
        assert {models.invoke("a").body for _ in range(20)} == {b'["b",1]'}


def test_models_outlive_the_workers_that_loaded_them(tmp_path: Path) -> None:
    url = put_model(tmp_path, "a", PID)
    with many_models(tmp_path, workers=2) as models:
        assert models.load("a", url).status == 200
        workers = models.load_everywhere("a", 2)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        eventually(lambda: models.count("workers_ready") == 2)
        assert models.names() == ["a"]
        assert models.load("a", url).status == 409
        assert not models.load_everywhere("a", 2) & workers
        assert models.unload("a").status == 200
        assert models.names() == []


def test_a_worker_that_is_killed_keeps_nobody_from_unloading(tmp_path: Path) -> None:
    url = put_model(tmp_path, "a", PID)
    with many_models(tmp_path, workers=2) as models:
        models.load("a", url)
        victim = models.load_everywhere("a", 2).pop()
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        eventually(lambda: _answers(lambda: models.unload("a").status == 200))
        assert time.monotonic() - began < 5


def test_a_worker_that_dies_while_it_loads_leaves_no_model_behind(tmp_path: Path) -> None:
    url = put_model(tmp_path, "a", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with many_models(tmp_path) as models:
        with pytest.raises(OSError, match=r"."):
            models.load("a", url)
        eventually(lambda: _answers(lambda: models.names() == []))
        put_model(tmp_path, "a", PID)
        assert models.load("a", url).status == 200


def test_sighup_loads_the_models_anew(tmp_path: Path) -> None:
    url = put_model(tmp_path, "a", SAYS.format(word="old"))
    with many_models(tmp_path) as models:
        models.load("a", url)
        assert models.invoke("a").json == ["old", 1]
        put_model(tmp_path, "a", SAYS.format(word="new!"))
        models.server.process.send_signal(signal.SIGHUP)
        models.server.wait_for("loaded anew")
        eventually(lambda: _answers(lambda: models.invoke("a").json == ["new!", 1]))


def test_a_model_whose_files_are_more_than_memory_is_507(tmp_path: Path) -> None:
    small = put_model(tmp_path, "small", SAYS.format(word="small"))
    huge = put_model(tmp_path, "huge", SAYS.format(word="huge"))
    with (tmp_path / "models/huge/model/weights").open("wb") as weights:
        weights.truncate(2**42)
    for evict in ("false", "true"):
        with many_models(tmp_path, INTERMODAL_EVICT_MODELS=evict) as models:
            assert models.load("small", small).status == 200
            short = models.load("huge", huge)
            assert (short.status, short.json["type"]) == (507, "InsufficientMemoryError")
            assert "MiB" in short.json["error"]
            assert models.names() == ["small"]
            # Nothing is thrown out for what fits in no case.
            assert models.count("model_evictions_total") == 0


def test_memory_that_runs_out_while_a_model_loads_is_507_and_is_given_back(tmp_path: Path) -> None:
    hungry = put_model(
        tmp_path,
        "hungry",
        f"""
        import pathlib
        def model_fn(model_dir):
            taken = bytearray(b"x" * {200 * MIB})
            return [taken, bytearray(2**46)]
        """,
    )
    words = put_model(
        tmp_path,
        "words",
        """
        def model_fn(model_dir):
            try:
                raise RuntimeError("CUDA error: out of memory")
            except RuntimeError as error:
                raise ValueError("the weights could not be loaded") from error
        """,
    )
    resident = put_model(
        tmp_path,
        "resident",
        """
        def model_fn(model_dir):
            return None
        def predict_fn(data, model):
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * 4096
        """,
    )
    with many_models(tmp_path) as models:
        models.load("resident", resident)
        before = models.invoke("resident").json
        for name, url in (("hungry", hungry), ("words", words)):
            short = models.load(name, url)
            assert (short.status, short.json["type"]) == (507, "InsufficientMemoryError")
            assert models.get(name).status == 404
        assert models.invoke("resident").json - before < 50 * MIB


def test_unloading_gives_the_memory_back_before_it_is_answered(tmp_path: Path) -> None:
    url = put_model(
        tmp_path,
        "a",
        f"""
        import os
        cycle = []
        def model_fn(model_dir):
            cycle.append([cycle, b"x" * {200 * MIB}])
            return cycle
        def predict_fn(data, model):
            return os.getpid()
        """,
    )
    with many_models(tmp_path, workers=2) as models:
        models.load("a", url)
        workers = models.load_everywhere("a", 2)
        held = [_resident_bytes(worker) for worker in workers]
        assert models.unload("a").status == 200
        left = [_resident_bytes(worker) for worker in workers]
        assert [before - after > 150 * MIB for before, after in zip(held, left, strict=True)] == [
            True,
            True,
        ]


def test_requests_that_have_begun_are_answered_by_the_model_that_is_unloaded(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    url = put_model(
        tmp_path,
        "a",
        f"""
        def model_fn(model_dir):
            return "still here"
        def predict_fn(data, model):
            print("predicting", flush=True)
            open({str(gate)!r}).read()
            return model
        """,
    )
    with many_models(tmp_path) as models, ThreadPoolExecutor(2) as clients:
        models.load("a", url)
        asked = clients.submit(models.invoke, "a")
        models.server.wait_for("predicting")
        unloading = clients.submit(models.unload, "a")
        eventually(lambda: models.names() == [])
        assert models.invoke("a").status == 404
        assert not unloading.done()
        gate.write_text("now")
        assert asked.result().json == "still here"
        assert unloading.result().status == 200


def test_the_least_recently_used_model_makes_room_where_that_is_asked_for(tmp_path: Path) -> None:
    # Each load of `picky` runs out of memory until `old` is gone.
    urls = {name: put_model(tmp_path, name, SAYS.format(word=name)) for name in ("old", "new")}
    flag = tmp_path / "old-is-there"
    urls["old"] = put_model(
        tmp_path,
        "old",
        f"""
        import pathlib
        flag = pathlib.Path({str(flag)!r})
        class Model:
            def __init__(self):
                flag.touch()
            def __del__(self):
                flag.unlink()
        def model_fn(model_dir):
            return Model()
        def predict_fn(data, model):
            return "old"
        """,
    )
    urls["picky"] = put_model(
        tmp_path,
        "picky",
        f"""
        import pathlib
        def model_fn(model_dir):
            if pathlib.Path({str(flag)!r}).exists():
                raise MemoryError
            return "picky"
        def predict_fn(data, model):
            return model
        """,
    )
    with many_models(tmp_path) as models:
        models.load("old", urls["old"])
        assert models.load("picky", urls["picky"]).status == 507
        assert models.count("model_evictions_total") == 0
    flag.unlink(missing_ok=True)
    with many_models(tmp_path, INTERMODAL_EVICT_MODELS="true") as models:
        assert models.load("old", urls["old"]).status == 200
        assert models.load("new", urls["new"]).status == 200
        assert models.load("picky", urls["picky"]).status == 200
        assert models.count("model_evictions_total") == 1
        assert models.count("model_loads_total") == 3
        # What was thrown out stays known, and comes back with its next request.
        assert models.names() == ["new", "old", "picky"]
        assert models.invoke("new").json == ["new", 1]
        assert models.count("model_loads_total") == 3
        assert models.invoke("old").json == "old"
        assert models.count("model_loads_total") == 4
        assert models.invoke("picky").json == "picky"


def test_use_in_any_worker_keeps_a_model_from_being_thrown_out(tmp_path: Path) -> None:
    urls = {name: put_model(tmp_path, name, PID) for name in "abc"}
    counter = tmp_path / "failures"
    urls["d"] = put_model(
        tmp_path,
        "d",
        f"""
        import pathlib
        def model_fn(model_dir):
            with open({str(counter)!r}, "a") as file:
                file.write("x")
            if pathlib.Path({str(counter)!r}).stat().st_size < 3:
                raise MemoryError
        def predict_fn(data, model):
            return data
        """,
    )
    with many_models(tmp_path, workers=2, INTERMODAL_EVICT_MODELS="true") as models:
        for name in "abc":
            assert models.load(name, urls[name]).status == 200
        time.sleep(1.1)  # uses are told to others once a second
        models.load_everywhere("a", 2)
        assert models.load("d", urls["d"]).status == 200
        assert models.count("model_evictions_total") == 2
        loads = models.count("model_loads_total")
        models.invoke("a")
        assert models.count("model_loads_total") == loads


def test_a_model_that_one_worker_cannot_load_is_not_tried_at_every_request(tmp_path: Path) -> None:
    log = tmp_path / "loads"
    url = put_model(
        tmp_path,
        "a",
        f"""
        import os
        with open({str(log)!r}, "a") as file:
            file.write("x")
        if os.path.getsize({str(log)!r}) > 1:
            raise ValueError("only once")
        def model_fn(model_dir): return None
        def predict_fn(data, model): return data
        """,
    )
    with many_models(tmp_path, workers=2) as models:
        assert models.load("a", url).status == 200
        replies = models.ask_until("a", lambda some: len({r.status for r in some}) == 2)
        replies += models.ask_until("a", lambda some: len(some) > 50)
        assert {reply.status for reply in replies} == {200, 500}
        assert any(
            "only once (inference.py:6)" in r.json["error"] for r in replies if r.status > 200
        )
        assert len(log.read_text()) <= 3  # among more than fifty requests


def test_a_client_that_leaves_while_its_model_loads_harms_nobody(tmp_path: Path) -> None:
    url = put_model(tmp_path, "a", "import time\ntime.sleep(0.3)\n" + _dedented(PID))
    with many_models(tmp_path) as models:
        body = json.dumps({"model_name": "a", "url": url}).encode()
        with socket.create_connection(("127.0.0.1", models.server.port)) as client:
            client.sendall(
                b"POST /models HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )
        eventually(lambda: models.names() == ["a"])
        assert models.invoke("a").status == 200
        assert models.server.terminate() == 0
    assert "Traceback" not in models.server.log


def test_sigterm_while_a_model_loads_answers_the_load(tmp_path: Path) -> None:
    url = put_model(
        tmp_path, "a", "print('loading', flush=True)\nimport time\ntime.sleep(1)\n" + _dedented(PID)
    )
    with many_models(tmp_path) as models, ThreadPoolExecutor(1) as clients:
        loading = clients.submit(models.load, "a", url)
        models.server.wait_for("loading\n")
        models.server.process.send_signal(signal.SIGTERM)
        assert loading.result().status == 200
        assert models.server.wait() == 0


def test_models_come_and_go_under_load_without_a_wrong_answer(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(4)]
    urls = {name: put_model(tmp_path, name, SAYS.format(word=name)) for name in names}
    wrong: list[tuple[str, int, bytes]] = []
    is_over = threading.Event()

    def keep_asking(name: str) -> int:
        answered = 0
        while not is_over.is_set():
            reply = models.invoke(name)
            answered += reply.status == 200
            if reply.status != 404 and (reply.status != 200 or reply.json != [name, 1]):
                wrong.append((name, reply.status, reply.body))
        return answered

    with many_models(tmp_path, workers=2) as models, ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(keep_asking, name) for name in names]
        for _ in range(5):
            for name in names:
                assert models.load(name, urls[name]).status == 200
            time.sleep(0.1)
            for name in names:
                assert models.unload(name).status == 200
        is_over.set()
        assert all(future.result() > 0 for future in asking)
        assert models.server.terminate() == 0
    assert wrong == []
    assert "Traceback" not in models.server.log


def test_batches_hold_requests_to_one_model_only(tmp_path: Path) -> None:
    source = """
        import time
        def model_fn(model_dir):
            return {factor}
        def predict_fn(data, model):
            time.sleep(0.002)
            return data * model
        predict_fn.batched = True
    """
    with many_models(tmp_path, MAX_BATCH_SIZE="8") as models, ThreadPoolExecutor(8) as clients:
        for factor in (2, 3):
            url = put_model(tmp_path, str(factor), source.replace("{factor}", str(factor)))
            assert models.load(str(factor), url).status == 200

        def ask(number: int) -> bool:
            factor = 2 + number % 2
            reply = models.invoke(str(factor), b"[%d, 1]" % number)
            return bool(reply.json == [factor * number, factor])

        assert all(clients.map(ask, range(100)))


def _dedented(source: str) -> str:
    return source.replace("\n    ", "\n")


def _answers(question: Callable[[], bool]) -> bool:
    """Whether it is so; a connection to a worker that is killed counts as no."""
    try:
        return question()
    except OSError:
        return False


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
