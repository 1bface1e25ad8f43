"""A serving container as most people write one: flask, by the book of the contract."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, Response, jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

LIMIT_MB = 2
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


class _KeepAlive(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        pass


def echo_app() -> Flask:
    """Gives every body back as it came, with its content type and the custom attributes."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LIMIT_MB * 2**20

    @app.get("/ping")
    def ping() -> str:
        return ""

    @app.post("/invocations")
    def invoke() -> Response:
        answer = Response(request.get_data(), content_type=request.content_type)
        if ATTRIBUTES in request.headers:
            answer.headers[ATTRIBUTES] = request.headers[ATTRIBUTES]
        return answer

    @app.get("/execution-parameters")
    def execution_parameters() -> Response:
        return jsonify(
            MaxConcurrentTransforms=4, BatchStrategy="MULTI_RECORD", MaxPayloadInMB=LIMIT_MB
        )

    return app


@contextmanager
def flask_container() -> Iterator[int]:
    """The port that it answers on."""
    server = make_server("127.0.0.1", 0, echo_app(), threaded=True, request_handler=_KeepAlive)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
