"""Broken or malicious bodies are answered with one clear error, quickly and in little memory."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intermodal_engine.wire import cbor_body, xml_body
from intermodal_engine.wire.errors import ServiceError
from intermodal_engine.wire.http import HttpRequest
from intermodal_engine.wire.parse import parse
from intermodal_engine.wire.route import named, resolve

S3_XML = "The XML you provided was not well-formed or did not validate against our published schema"


def parsed_json(operation: str, body: bytes, service: str = "sagemaker") -> dict[str, Any]:
    return parse(named(service, operation), HttpRequest("POST", "/", "", {}, body))


def json_fault(body: Any, operation: str = "CreateTrainingJob", service: str = "sagemaker") -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ServiceError) as caught:
        parsed_json(operation, raw, service)
    assert (caught.value.code, caught.value.status) == ("SerializationException", 400)
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"TrainingJobName": 1}, "NUMBER_VALUE can not be converted to a String"),
        ({"TrainingJobName": True}, "TRUE_VALUE can not be converted to a String"),
        ({"TrainingJobName": 1.5}, "DECIMAL_VALUE can not be converted to a String"),
        ({"TrainingJobName": {}}, "Start of structure or map found where not expected."),
        ({"TrainingJobName": []}, "Start of list found where not expected"),
        (
            {"ResourceConfig": {"InstanceCount": "1"}},
            "STRING_VALUE can not be converted to an Integer",
        ),
        (
            {"ResourceConfig": {"InstanceCount": 1.5}},
            "DECIMAL_VALUE can not be converted to an Integer",
        ),
        (
            {"ResourceConfig": {"InstanceCount": 2**31}},
            "NUMBER_VALUE can not be converted to an Integer",
        ),
        (
            {"EnableNetworkIsolation": "false"},
            "STRING_VALUE can not be converted to a Boolean",
        ),
        ({"ResourceConfig": "x"}, "Expected map or structure, found STRING_VALUE"),
        ({"InputDataConfig": {}}, "Expected list, found START_OBJECT"),
        ({"HyperParameters": []}, "Expected map or structure, found START_ARRAY"),
        ({"HyperParameters": {"epochs": 1}}, "NUMBER_VALUE can not be converted to a String"),
    ],
)
def test_json_of_another_type_is_named_as_aws_does(body: dict[str, Any], words: str) -> None:
    assert json_fault(body) == words


@pytest.mark.parametrize(
    "body", [b"{", b"nonsense", b"[]", b'"x"', b"\xff", b"[" * 200_000, b'{"a":' * 200_000]
)
def test_what_is_not_a_json_object_is_refused(body: bytes) -> None:
    assert "JSON" in json_fault(body)


@pytest.mark.parametrize(
    "text",
    [rb"\ud800", rb"\uDFFF", rb"a\ude00\ud83d", b"\xed\xa0\x80"],
    ids=["high", "low", "swapped", "raw"],
)
def test_text_that_is_no_unicode_is_refused(text: bytes) -> None:
    body = b'{"HyperParameters": {"note": "%b"}}' % text
    assert "surrogates not allowed" in json_fault(body)


def test_characters_that_are_written_as_surrogate_pairs_are_understood() -> None:
    body = rb'{"HyperParameters": {"note": "\ud83d\ude00"}}'
    assert parsed_json("CreateTrainingJob", body) == {"HyperParameters": {"note": "\U0001f600"}}


def test_a_moment_must_be_a_number() -> None:
    words = "STRING_VALUE can not be converted to milliseconds since epoch"
    assert json_fault({"CreationTimeAfter": "yesterday"}, "ListTrainingJobs") == words
    assert "can not be converted" in json_fault({"CreationTimeAfter": 1e300}, "ListTrainingJobs")


def test_nulls_and_unknown_members_are_not_there() -> None:
    body = b'{"TrainingJobName": "a", "RoleArn": null, "Unknown": {"deep": [1]}}'
    assert parsed_json("CreateTrainingJob", body) == {"TrainingJobName": "a"}
    assert parsed_json("ListTrainingJobs", b"") == {}


def test_whole_numbers_may_be_written_as_decimals() -> None:
    body = b'{"MaxResults": 5.0}'
    assert parsed_json("ListTrainingJobs", body) == {"MaxResults": 5}


@pytest.mark.parametrize(
    "body",
    [
        b"<Delete><Object>",
        b"not xml",
        b"<Delete></Wrong>",
        b'<!DOCTYPE d SYSTEM "file:///etc/passwd"><Delete/>',
        b'<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Delete>&b;</Delete>',
        b"<Delete>&undefined;</Delete>",
        b"<a>" * 100_000,
        b"<Delete><Quiet>perhaps</Quiet></Delete>",
        b"<Delete><Object><Key>a</Key><Size>many</Size></Object></Delete>",
    ],
)
def test_broken_or_malicious_xml_is_malformed(body: bytes) -> None:
    request = HttpRequest("POST", "/data", "delete", {}, body)
    with pytest.raises(ServiceError) as caught:
        parse(resolve(request, "s3"), request)
    assert (caught.value.code, caught.value.status) == ("MalformedXML", 400)
    assert caught.value.message == S3_XML


def test_namespaces_comments_and_cdata_do_not_matter() -> None:
    body = (
        b'<?xml version="1.0"?><x:Delete xmlns:x="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<!-- two --><x:Object><x:Key><![CDATA[a<b]]></x:Key></x:Object>"
        b"<x:Object><x:Key> c&amp;d\n</x:Key></x:Object><Unknown><y/></Unknown></x:Delete>"
    )
    request = HttpRequest("POST", "/data", "delete", {}, body)
    assert parse(resolve(request, "s3"), request)["Delete"] == {
        "Objects": [{"Key": "a<b"}, {"Key": " c&d\n"}]
    }


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_being_written_as_xml(text: str) -> None:
    escaped = f"<a>{xml_body.escape(text)}</a>".encode()
    if any(ord(char) < 32 and char not in "\t\n\r" for char in text) or (
        "\ufffe" in text or "\uffff" in text
    ):
        # XML has no way to write these; S3 writes a reference, which strict parsers refuse.
        with pytest.raises(xml_body.MalformedXmlError):
            xml_body.load(escaped)
    else:
        assert xml_body.load(escaped).text == text


def test_a_query_argument_of_another_type_is_an_invalid_argument_of_s3() -> None:
    request = HttpRequest("GET", "/data", "list-type=2&max-keys=many", {})
    with pytest.raises(ServiceError) as caught:
        parse(resolve(request, "s3"), request)
    assert caught.value.code == "InvalidArgument"
    assert caught.value.message == "Provided max-keys not an integer or within integer range"


def test_a_date_that_is_none_in_a_conditional_header_of_s3_is_not_there() -> None:
    request = HttpRequest("GET", "/data/a", "", {"if-modified-since": "yesterday"})
    assert parse(resolve(request, "s3"), request) == {"Bucket": "data", "Key": "a"}


def test_the_framing_of_a_body_is_no_property_of_the_object() -> None:
    headers = {
        "content-length": "66824",
        "x-amz-decoded-content-length": "66560",
        "content-encoding": "aws-chunked,gzip",
    }
    request = HttpRequest("PUT", "/data/a", "", headers)
    parameters = parse(resolve(request, "s3"), request)
    assert parameters["ContentLength"] == 66560
    assert parameters["ContentEncoding"] == "gzip"
    headers["content-encoding"] = "aws-chunked"
    assert "ContentEncoding" not in parse(resolve(request, "s3"), request)


@pytest.mark.parametrize(
    "form",
    [
        b"Action=GetRole&RoleName." + b"a." * 100 + b"=1",
        b"Action=ListRoles&MaxItems=many",
        b"Action=SimulatePrincipalPolicy&MaxItems=",
    ],
)
def test_a_broken_form_is_malformed_input(form: bytes) -> None:
    request = HttpRequest(
        "POST", "/", "", {"content-type": "application/x-www-form-urlencoded"}, form
    )
    with pytest.raises(ServiceError, match="MalformedInput"):
        parse(resolve(request, "iam"), request)


def test_elements_of_a_form_are_ordered_by_their_numbers() -> None:
    numbers = [10, 2, 1, 9]
    form = "&".join(
        ["Action=SimulatePrincipalPolicy"]
        + [f"ActionNames.member.{number}=s3:{number}" for number in numbers]
    )
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = HttpRequest("POST", "/", "", headers, form.encode())
    parameters = parse(resolve(request, "iam"), request)
    assert parameters["ActionNames"] == ["s3:1", "s3:2", "s3:9", "s3:10"]


@given(st.binary(max_size=60))
def test_no_bytes_break_the_cbor_reader(body: bytes) -> None:
    value: object = {}
    with contextlib.suppress(ServiceError):
        value = cbor_body.load_map(body)
    assert isinstance(value, dict)


@pytest.mark.parametrize(
    "body",
    [
        b"\x81" * 100_000,
        b"\x9a\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x81\x01\x01",
        b"\xbf\x61a\xff",
    ],
)
def test_cbor_that_promises_more_than_it_has_is_refused(body: bytes) -> None:
    with pytest.raises(ServiceError, match="SerializationException"):
        cbor_body.load_map(body)


def test_cbor_of_indefinite_length_is_understood() -> None:
    body = b"\xbf\x69Namespace\x7f\x61a\x61b\xff\x6aMetricData\x9f\xff\xff"
    assert cbor_body.load_map(body) == {"Namespace": "ab", "MetricData": []}
