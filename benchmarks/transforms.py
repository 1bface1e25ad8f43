"""Batch transform: CSV lines through the tiny MLP, from CreateTransformJob to Completed."""

import random
import tempfile
from pathlib import Path

from benchmarks.figures import RUNS, Figure, NotMeasuredError, seconds_of
from benchmarks.local_engine import running_engine
from benchmarks.serving.workloads import small_mlp

LINES = 100_000
_DIFFERENT = 1000
_SEED = 8


def measure() -> list[Figure]:
    """Times whole jobs, the container's start and the import of torch among it."""
    from intermodal.pytorch import PyTorchModel
    from intermodal_contract.artifact import pack_files

    model = small_mlp()
    with running_engine() as session, tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        model.lay_out(base)
        files = {str(one.relative_to(base / "model")): one for one in _files(base / "model")}
        pack_files(files, base / "model.tar.gz")
        (base / "lines.csv").write_text(_lines(model.sizes[0]))
        data = session.upload_data(str(base / "lines.csv"), key_prefix="bench/lines")
        transformer = PyTorchModel(
            model_data=session.upload_data(str(base / "model.tar.gz"), key_prefix="bench"),
            role="arn:aws:iam::123456789012:role/bench",
            framework_version="2.13.0",
            sagemaker_session=session,
        ).transformer(
            1, "ml.m5.large", strategy="MultiRecord", assemble_with="Line", accept="text/csv"
        )

        def transform() -> None:
            transformer.transform(data, content_type="text/csv", split_type="Line", logs=False)

        samples = [LINES / seconds_of(transform) for _ in range(RUNS + 1)][1:]
        text = session.read_s3_file(
            session.default_bucket(), _key(str(transformer.output_path), "lines.csv.out")
        )
        if text.count("\n") != LINES:
            raise NotMeasuredError(f"{text.count(chr(10))} lines came out of {LINES}")
    what = f"transform of {LINES:,} CSV lines, tiny MLP, start included"
    return [Figure(what, "lines/s", 20_000, samples, at_least=True)]


def _files(folder: Path) -> list[Path]:
    return [one for one in sorted(folder.rglob("*")) if one.is_file()]


def _key(uri: str, name: str) -> str:
    return f"{uri.removeprefix('s3://').partition('/')[2]}/{name}"


def _lines(width: int) -> str:
    numbers = random.Random(_SEED)
    some = [
        ",".join(f"{numbers.gauss(0, 1):.4f}" for _ in range(width)) + "\n"
        for _ in range(_DIFFERENT)
    ]
    return "".join(some * (LINES // _DIFFERENT))
