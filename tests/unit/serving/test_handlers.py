import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from intermodal_serving import handlers
from intermodal_serving.errors import ModelLoadError
from intermodal_serving.settings import Settings
from tests.helpers.serving_process import write_code


@pytest.fixture(autouse=True)
def _python_path_is_put_back() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    importlib.invalidate_caches()


def module_of(**functions: Any) -> ModuleType:
    module = ModuleType("inference")
    vars(module).update(functions)
    return module


def call(function: Any, name: str = "predict_fn") -> Any:
    handler = getattr(handlers.read_handlers(module_of(**{name: function})), name)
    arguments = handlers.ARGUMENTS[name]
    return handler(*arguments, context="the context")


def test_a_handler_with_the_contracts_arguments_is_called_with_them() -> None:
    assert call(lambda data, model: (data, model)) == ("data", "model")


def test_a_last_argument_takes_the_context_whatever_its_name() -> None:
    assert call(lambda data, model, request: request) == "the context"


def test_a_keyword_only_context_is_given_by_name() -> None:
    def predict_fn(data: Any, model: Any, *, context: Any) -> Any:
        return context

    assert call(predict_fn) == "the context"


def test_a_context_that_defaults_to_none_is_given_too() -> None:
    assert call(lambda data, model, context=None: context) == "the context"


def test_a_further_argument_with_a_default_of_its_own_keeps_it() -> None:
    assert call(lambda data, model, threshold=0.5: threshold) == 0.5


def test_a_handler_that_takes_anything_gets_no_context() -> None:
    assert call(lambda *arguments: arguments) == ("data", "model")


def test_transform_fn_gets_model_body_content_type_and_accept() -> None:
    given = call(lambda *arguments: arguments, "transform_fn")
    assert given == ("model", "body", "content_type", "accept")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("model_fn", lambda: None),
        ("input_fn", lambda body: None),
        ("predict_fn", lambda data, model, context, more: None),
        ("predict_fn", lambda data, model, *, device: None),
        ("output_fn", lambda: None),
        ("transform_fn", lambda body, content_type: None),
    ],
)
def test_a_wrong_signature_is_named_with_the_right_one(name: str, function: Any) -> None:
    with pytest.raises(ModelLoadError) as caught:
        call(function, name)
    right = ", ".join(handlers.ARGUMENTS[name])
    assert caught.value.message.startswith(name)
    assert f"{name}({right}, context)" in (caught.value.hint or "")


def test_transform_fn_beside_its_parts_is_refused() -> None:
    module = module_of(
        transform_fn=lambda model, body, content_type, accept: body,
        output_fn=lambda prediction, accept: prediction,
    )
    with pytest.raises(ModelLoadError, match="transform_fn cannot stand beside output_fn"):
        handlers.read_handlers(module)


def test_a_handler_that_is_no_function_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="predict_fn is a str"):
        handlers.read_handlers(module_of(predict_fn="me"))


def test_a_generator_is_refused_where_nothing_would_read_it() -> None:
    def input_fn(body: Any, content_type: str) -> Iterator[Any]:
        yield body

    with pytest.raises(ModelLoadError, match="input_fn is a generator"):
        handlers.read_handlers(module_of(input_fn=input_fn))


def test_a_generator_is_told_from_a_function_and_an_async_one_needs_the_event_loop() -> None:
    def plain(data: Any, model: Any) -> Iterator[Any]:
        yield data

    async def on_the_loop(data: Any, model: Any) -> AsyncIterator[Any]:
        yield data

    class Both:
        def __call__(self, data: Any, model: Any) -> Iterator[Any]:
            yield data

    for function, forms in (
        (plain, (True, False)),
        (on_the_loop, (True, True)),
        (Both(), (True, False)),
    ):
        found = handlers.read_handlers(module_of(predict_fn=function))
        assert found.predict_fn is not None
        assert (found.predict_fn.is_generator, found.predict_fn.is_async) == forms
        assert found.is_async == forms[1]


def test_stream_fn_must_be_able_to_wait_for_messages_and_concerns_no_invocation() -> None:
    def plain(messages: Any, model: Any) -> Iterator[Any]:
        yield messages

    async def on_the_loop(messages: Any, model: Any) -> AsyncIterator[Any]:
        yield messages

    with pytest.raises(ModelLoadError, match="stream_fn is not `async`"):
        handlers.read_handlers(module_of(stream_fn=plain))
    assert not handlers.read_handlers(module_of(stream_fn=on_the_loop)).is_async


def test_a_module_without_handlers_leaves_all_to_the_defaults() -> None:
    assert handlers.read_handlers(module_of()) == handlers.Handlers()


def test_an_async_step_makes_the_requests_async_but_an_async_model_fn_does_not() -> None:
    async def output_fn(prediction: Any, accept: str) -> Any:
        return prediction

    async def model_fn(model_dir: str) -> Any:
        return model_dir

    assert handlers.read_handlers(module_of(output_fn=output_fn)).is_async
    assert not handlers.read_handlers(module_of(model_fn=model_fn)).is_async


def test_inference_py_is_found_in_the_models_code_folder(tmp_path: Path) -> None:
    write_code(tmp_path, "x = 1")
    found = handlers.find_program(Settings(base_dir=tmp_path))
    assert found == tmp_path / "model/code/inference.py"


def test_a_model_without_code_has_no_program(tmp_path: Path) -> None:
    assert handlers.find_program(Settings(base_dir=tmp_path)) is None


def test_the_variables_that_the_vendors_sdk_sets_find_the_training_script(tmp_path: Path) -> None:
    write_code(tmp_path, "x = 1", "train.py")
    settings = Settings(
        base_dir=tmp_path, program="train.py", submit_directory="/opt/ml/model/code"
    )
    assert handlers.find_program(settings) == tmp_path / "model/code/train.py"


def test_a_program_may_be_named_as_a_module(tmp_path: Path) -> None:
    write_code(tmp_path, "x = 1", "serve_it.py")
    found = handlers.find_program(Settings(base_dir=tmp_path, program="serve_it"))
    assert found == tmp_path / "model/code/serve_it.py"


def test_a_submit_directory_may_be_a_file_url(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/inference.py").touch()
    settings = Settings(base_dir=tmp_path, submit_directory=f"file://{tmp_path}/elsewhere")
    assert handlers.find_program(settings) == tmp_path / "elsewhere/inference.py"


def test_source_in_s3_gives_way_to_the_code_in_the_model_or_is_refused(tmp_path: Path) -> None:
    settings = Settings(base_dir=tmp_path, submit_directory="s3://bucket/sourcedir.tar.gz")
    with pytest.raises(ModelLoadError, match="fetches nothing from S3"):
        handlers.find_program(settings)
    write_code(tmp_path, "x = 1")
    assert handlers.find_program(settings) == tmp_path / "model/code/inference.py"


def test_a_missing_program_names_what_is_there(tmp_path: Path) -> None:
    write_code(tmp_path, "x = 1", "predict.py")
    with pytest.raises(ModelLoadError) as caught:
        handlers.find_program(Settings(base_dir=tmp_path, program="train.py"))
    assert "`train.py`" in caught.value.message
    assert caught.value.hint == "there is: predict.py"


def test_a_program_is_imported_under_its_own_name_with_its_folder_on_the_path(
    tmp_path: Path,
) -> None:
    write_code(tmp_path, "answer = 42", "beside_the_program.py")
    program = write_code(
        tmp_path,
        """
        import beside_the_program
        answer, name = beside_the_program.answer, __name__
        if __name__ == "__main__":
            raise RuntimeError("trained instead of served")
        """,
        "train.py",
    )
    module = handlers.import_program(program / "model/code/train.py")
    assert (module.answer, module.name) == (42, "train")


def test_a_program_with_the_name_of_a_loaded_module_does_not_replace_it(tmp_path: Path) -> None:
    write_code(tmp_path, "loads = None", "json.py")
    import json

    module = handlers.import_program(tmp_path / "model/code/json.py")
    assert module.loads is None
    assert sys.modules["json"] is json


def test_a_script_that_exits_on_import_is_told_to_guard_its_main_part(tmp_path: Path) -> None:
    write_code(tmp_path, "import sys; sys.exit(2)", "train.py")
    with pytest.raises(ModelLoadError, match=r"train.py called sys.exit\(2\)") as caught:
        handlers.import_program(tmp_path / "model/code/train.py")
    assert "__main__" in (caught.value.hint or "")
