import pytest

from intermodal_serving.context import Context


def context(**headers: str) -> Context:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Context({"model_dir": "/opt/ml/model"}, raw)


def test_headers_are_found_in_any_case_and_by_the_vendors_ways() -> None:
    asked = context(x_amzn_sagemaker_custom_attributes="trace=1", content_type="text/csv")
    assert asked.custom_attributes == "trace=1"
    assert asked.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes") == "trace=1"
    assert asked.request_processor[0].get_request_properties()["content-type"] == "text/csv"
    assert asked.request_processor[0].get_request_property("Content-Type") == "text/csv"
    assert asked.get_all_request_header() == asked.headers
    assert asked.system_properties["model_dir"] == "/opt/ml/model"


def test_the_clients_request_id_is_kept_unless_it_could_forge_a_log() -> None:
    assert context(x_amzn_requestid="abc-1").request_id == "abc-1"
    forged = context(x_amzn_requestid="abc def")
    assert forged.request_id != "abc def"
    assert forged.request_id == forged.get_request_id()


def test_a_handler_sets_status_content_type_and_headers() -> None:
    answer = context()
    answer.set_response_status(202, "Accepted")
    answer.set_response_content_type(0, "image/png")
    answer.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "a=b")
    assert answer.status == 202
    assert answer.response_headers == {
        "content-type": "image/png",
        "x-amzn-sagemaker-custom-attributes": "a=b",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-a", "b\r\nset-cookie: c"),
        ("x-a", "b\nc"),
        ("x-a", "b\0"),
        ("x-a: b\r\nx-c", "d"),
        ("", "b"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("x-a", "\u2028"),
        ("x-a", 5),
    ],
)
def test_a_header_that_would_break_the_response_is_refused(name: str, value: str) -> None:
    answer = context()
    with pytest.raises(ValueError):
        answer.set_header(name, value)
    assert answer.response_headers == {}


@pytest.mark.parametrize("status", [0, 100, 199, 600])
def test_a_status_that_ends_no_request_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="200 to 599"):
        context().set_response_status(status)
