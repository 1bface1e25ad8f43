"""A user's script for MXNet."""

import os
from pathlib import Path

import mxnet as mx

total = mx.nd.ones((2, 3)).sum().asscalar()
Path(os.environ["SM_MODEL_DIR"], "total.txt").write_text(str(total))
print("mxnet", mx.__version__, "total", total)
