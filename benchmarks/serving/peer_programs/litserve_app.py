"""A LitServe API: one class, batching by its own `batch` and `unbatch`."""

import io
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body, Request

from benchmarks.serving.peer_programs.model import KIND, MAX_BATCH, PORT, WORKERS, load


class Echo(litserve.LitAPI):
    """Answers what it was sent."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def predict(self, x: Any) -> Any:
        """The request itself."""
        return x


class Network(litserve.LitAPI):
    """A torch network over rows of JSON."""

    def setup(self, device: str) -> None:
        """Loads the network in the worker's process."""
        self.network = load()

    def decode_request(self, request: Request) -> Any:
        """Rows to a tensor; LitServe has parsed the JSON."""
        import torch

        return torch.tensor(request)

    def predict(self, x: Any) -> Any:
        """One pass over all rows."""
        import torch

        with torch.inference_mode():
            return self.network(x)

    def encode_response(self, output: Any) -> Any:
        """A tensor to rows."""
        return output.tolist()


class BatchedNetwork(Network):
    """The same over the rows of several requests, each of which brings one."""

    def batch(self, inputs: list[Any]) -> Any:
        """The rows below each other."""
        import torch

        return torch.cat(inputs)

    def unbatch(self, output: Any) -> Any:
        """A row each."""
        return output.split(1)


class Mean(litserve.LitAPI):
    """The mean of an array that comes as NPY."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(
        self, request: Annotated[bytes, Body(media_type="application/x-npy")]
    ) -> Any:
        """NPY to an array."""
        return np.load(io.BytesIO(request), allow_pickle=False)

    def predict(self, x: Any) -> Any:
        """One number."""
        return [float(x.mean())]


def main() -> None:
    """Serves on one core as its guide has it, with the faster of its two queues."""
    network = BatchedNetwork if MAX_BATCH > 1 else Network
    api = {"echo": Echo, "mlp": network, "mean": Mean}[KIND]
    server = litserve.LitServer(
        api(max_batch_size=MAX_BATCH, batch_timeout=0.005 if MAX_BATCH > 1 else 0.0,
            api_path="/invocations"),
        accelerator="cpu",
        workers_per_device=WORKERS,
        healthcheck_path="/ping",
        fast_queue=True,
    )  # fmt: skip
    server.run(
        host="127.0.0.1",
        port=PORT,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main()
