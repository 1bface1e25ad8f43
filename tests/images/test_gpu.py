"""What only a machine with a GPU can show: `make test-gpu`."""

import pytest

from intermodal_contract.catalogue import newest
from intermodal_contract.image import Purpose
from tests.helpers.built_images import PURPOSES, built_of, docker, make

MACHINES = "nvidia-smi --query-gpu=name --format=csv,noheader"
COMPUTES = {
    "pytorch": (
        "import torch; assert torch.backends.cudnn.is_available(); "
        "x = torch.ones(1, 1, 8, 8, device='cuda'); "
        "print(torch.nn.functional.conv2d(x, x[..., :3, :3]).sum().item())"
    ),
    "mxnet": (
        "import mxnet as mx; x = mx.nd.ones((1, 1, 8, 8), ctx=mx.gpu()); "
        "print(mx.nd.Convolution(x, x[:, :, :3, :3], no_bias=True, kernel=(3, 3), num_filter=1)"
        ".sum().asscalar())"
    ),
}
NCCL = (
    "import os, torch, torch.distributed as dist; "
    "os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT='29500', RANK='0', WORLD_SIZE='1'); "
    "dist.init_process_group('nccl'); x = torch.ones(4, device='cuda'); dist.all_reduce(x); "
    "print(x.sum().item()); dist.destroy_process_group()"
)

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module", autouse=True)
def gpu() -> str:
    from intermodal_engine.lifecycle.capacity import machine_gpus

    if not machine_gpus():
        pytest.skip("this machine has no NVIDIA GPU, so the images for GPUs are UNTESTED")
    return "all"


def on_gpu(image: str, *command: str) -> str:
    done = docker().run("run", "--rm", "--gpus=all", "--shm-size=1g", image, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("framework", sorted(COMPUTES))
def test_an_image_for_gpus_computes_on_one_with_its_one_cudnn(
    framework: str, purpose: Purpose
) -> None:
    command = newest(framework).build_command(purpose, "gpu").split()[1:]
    built = built_of(make(*command, BASE_IMAGE=""))[0]
    assert built.name == newest(framework).image(purpose, "gpu")
    assert on_gpu(built.name, "sh", "-c", MACHINES).strip()
    # 36 windows of 9 ones each.
    said = on_gpu(built.name, "python", "-c", COMPUTES[framework])
    assert float(said.splitlines()[-1]) == 324


def test_nccl_reduces_in_the_training_image() -> None:
    built = built_of(make("build-train", DEVICE="gpu", BASE_IMAGE=""))[0]
    assert float(on_gpu(built.name, "python", "-c", NCCL).splitlines()[-1]) == 4
