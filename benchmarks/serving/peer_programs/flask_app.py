"""The WSGI application of the vendor's bring-your-own-container sample."""

import io
import json
from typing import Any

import flask

from benchmarks.serving.peer_programs.model import KIND, load

app = flask.Flask(__name__)
_model = load()


@app.get("/ping")
def ping() -> Any:
    """Healthy once the model is loaded, which it is when this module is."""
    return flask.Response(response="\n", status=200, mimetype="application/json")


@app.post("/invocations")
def invocations() -> Any:
    """One prediction."""
    return flask.Response(
        response=json.dumps(_predict(flask.request.get_data())),
        status=200,
        mimetype="application/json",
    )


def _predict(body: bytes) -> Any:
    if KIND == "echo":
        return json.loads(body)
    if KIND == "mean":
        import numpy as np

        return [float(np.load(io.BytesIO(body), allow_pickle=False).mean())]
    import torch

    with torch.inference_mode():
        return _model(torch.tensor(json.loads(body))).tolist()
