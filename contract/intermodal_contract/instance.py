"""What each `ml.*` instance type has: vCPUs, memory, accelerators.

The figures are those that AWS publishes for the EC2 type of the same name. Families whose sizes
follow a rule are written as that rule; families with accelerators are written out.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from intermodal_contract.errors import IntermodalError


class UnknownInstanceTypeError(IntermodalError):
    """An instance type that is not in the table."""


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One instance type.

    Attributes:
        name: as in a request, for example `ml.m5.xlarge`; `local` and `local_gpu` are this machine.
        vcpus: virtual CPUs.
        memory_gib: main memory in GiB.
        gpus: number of GPUs.
        gpu_kind: NVIDIA's name of the GPU, for example `V100`; None without one.
        neurons: NeuronCores (Trainium and Inferentia).
    """

    name: str
    vcpus: int
    memory_gib: float
    gpus: int = 0
    gpu_kind: str | None = None
    neurons: int = 0

    @property
    def is_local(self) -> bool:
        """Whether it stands for the machine at hand."""
        return not self.name.startswith("ml.")


# family -> (GiB a vCPU, sizes); a size says its vCPUs: large 2, xlarge 4, Nxlarge 4 N.
_REGULAR_FAMILIES: Mapping[str, tuple[float, str]] = {
    "c5": (2, "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge"),
    "c5d": (2, "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge"),
    "c6g": (2, "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "c6gd": (2, "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "c6gn": (2, "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "c6i": (2, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge"),
    "c6in": (2, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge"),
    "c7g": (2, "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "c7i": (2, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge"),
    "c7i-flex": (2, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "m5": (4, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
    "m5d": (4, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
    "m6g": (4, "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "m6gd": (4, "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "m6i": (4, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge"),
    "m7i": (4, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge"),
    "m7i-flex": (4, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "r5": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
    "r5d": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge"),
    "r6g": (8, "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "r6gd": (8, "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"),
    "r6i": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge"),
    "r7i": (8, "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 48xlarge"),
}

# family -> size -> (vCPUs, GiB)
_IRREGULAR_FAMILIES: Mapping[str, Mapping[str, tuple[int, float]]] = {
    "c4": {
        "large": (2, 3.75),
        "xlarge": (4, 7.5),
        "2xlarge": (8, 15),
        "4xlarge": (16, 30),
        "8xlarge": (36, 60),
    },
    "c5n": {
        "large": (2, 5.25),
        "xlarge": (4, 10.5),
        "2xlarge": (8, 21),
        "4xlarge": (16, 42),
        "9xlarge": (36, 96),
        "18xlarge": (72, 192),
    },
    "m4": {
        "large": (2, 8),
        "xlarge": (4, 16),
        "2xlarge": (8, 32),
        "4xlarge": (16, 64),
        "10xlarge": (40, 160),
        "16xlarge": (64, 256),
    },
    "t2": {"medium": (2, 4), "large": (2, 8), "xlarge": (4, 16), "2xlarge": (8, 32)},
    "t3": {"medium": (2, 4), "large": (2, 8), "xlarge": (4, 16), "2xlarge": (8, 32)},
}

# family -> (kind, size -> (vCPUs, GiB, GPUs))
_GPU_FAMILIES: Mapping[str, tuple[str, Mapping[str, tuple[int, float, int]]]] = {
    "p2": (
        "K80",
        {"xlarge": (4, 61, 1), "8xlarge": (32, 488, 8), "16xlarge": (64, 732, 16)},
    ),
    "p3": (
        "V100",
        {"2xlarge": (8, 61, 1), "8xlarge": (32, 244, 4), "16xlarge": (64, 488, 8)},
    ),
    "p3dn": ("V100", {"24xlarge": (96, 768, 8)}),
    "p4d": ("A100", {"24xlarge": (96, 1152, 8)}),
    "p4de": ("A100", {"24xlarge": (96, 1152, 8)}),
    "p5": ("H100", {"4xlarge": (16, 256, 1), "48xlarge": (192, 2048, 8)}),
    "p5e": ("H200", {"48xlarge": (192, 2048, 8)}),
    "p5en": ("H200", {"48xlarge": (192, 2048, 8)}),
    "g4dn": (
        "T4",
        {
            "xlarge": (4, 16, 1),
            "2xlarge": (8, 32, 1),
            "4xlarge": (16, 64, 1),
            "8xlarge": (32, 128, 1),
            "12xlarge": (48, 192, 4),
            "16xlarge": (64, 256, 1),
        },
    ),
    "g5": (
        "A10G",
        {
            "xlarge": (4, 16, 1),
            "2xlarge": (8, 32, 1),
            "4xlarge": (16, 64, 1),
            "8xlarge": (32, 128, 1),
            "12xlarge": (48, 192, 4),
            "16xlarge": (64, 256, 1),
            "24xlarge": (96, 384, 4),
            "48xlarge": (192, 768, 8),
        },
    ),
    "g6": (
        "L4",
        {
            "xlarge": (4, 16, 1),
            "2xlarge": (8, 32, 1),
            "4xlarge": (16, 64, 1),
            "8xlarge": (32, 128, 1),
            "12xlarge": (48, 192, 4),
            "16xlarge": (64, 256, 1),
            "24xlarge": (96, 384, 4),
            "48xlarge": (192, 768, 8),
        },
    ),
    "g6e": (
        "L40S",
        {
            "xlarge": (4, 32, 1),
            "2xlarge": (8, 64, 1),
            "4xlarge": (16, 128, 1),
            "8xlarge": (32, 256, 1),
            "12xlarge": (48, 384, 4),
            "16xlarge": (64, 512, 1),
            "24xlarge": (96, 768, 4),
            "48xlarge": (192, 1536, 8),
        },
    ),
}

# family -> size -> (vCPUs, GiB, NeuronCores)
_NEURON_FAMILIES: Mapping[str, Mapping[str, tuple[int, float, int]]] = {
    "inf1": {
        "xlarge": (4, 8, 4),
        "2xlarge": (8, 16, 4),
        "6xlarge": (24, 48, 16),
        "24xlarge": (96, 192, 64),
    },
    "inf2": {
        "xlarge": (4, 16, 2),
        "8xlarge": (32, 128, 2),
        "24xlarge": (96, 384, 12),
        "48xlarge": (192, 768, 24),
    },
    "trn1": {"2xlarge": (8, 32, 2), "32xlarge": (128, 512, 32)},
    "trn1n": {"32xlarge": (128, 512, 32)},
    "trn2": {"48xlarge": (192, 2048, 128)},
}


def _every_type() -> Iterator[InstanceType]:
    for family, (gib_per_vcpu, sizes) in _REGULAR_FAMILIES.items():
        for size in sizes.split():
            vcpus = _vcpus(size)
            yield InstanceType(f"ml.{family}.{size}", vcpus, vcpus * gib_per_vcpu)
    for family, plain in _IRREGULAR_FAMILIES.items():
        for size, (vcpus, memory_gib) in plain.items():
            yield InstanceType(f"ml.{family}.{size}", vcpus, memory_gib)
    for family, (kind, with_gpus) in _GPU_FAMILIES.items():
        for size, (vcpus, memory_gib, gpus) in with_gpus.items():
            yield InstanceType(f"ml.{family}.{size}", vcpus, memory_gib, gpus, kind)
    for family, with_neurons in _NEURON_FAMILIES.items():
        for size, (vcpus, memory_gib, neurons) in with_neurons.items():
            yield InstanceType(f"ml.{family}.{size}", vcpus, memory_gib, neurons=neurons)


def _vcpus(size: str) -> int:
    few = {"medium": 1, "large": 2, "xlarge": 4}
    return few[size] if size in few else 4 * int(size.removesuffix("xlarge"))


INSTANCE_TYPES: Mapping[str, InstanceType] = {kind.name: kind for kind in _every_type()}
"""Every type of AWS's that the table knows, by name."""

LOCAL_INSTANCE_TYPES = ("local", "local_gpu")
"""Names that stand for the machine at hand."""


def instance_type(name: str) -> InstanceType:
    """Looks up an instance type; `local` and `local_gpu` are measured on this machine.

    Raises:
        UnknownInstanceTypeError: no such type is known.
    """
    if name in LOCAL_INSTANCE_TYPES:
        return _this_machine(name)
    try:
        return INSTANCE_TYPES[name]
    except KeyError:
        raise UnknownInstanceTypeError(
            f"`{name}` is no instance type that intermodal knows", hint=_advice(name)
        ) from None


def _this_machine(name: str) -> InstanceType:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = sum(1 for device in Path("/dev").glob("nvidia[0-9]*")) if name == "local_gpu" else 0
    return InstanceType(
        name,
        vcpus=os.cpu_count() or 1,
        memory_gib=round(memory_gib, 1),
        gpus=gpus,
        gpu_kind="local" if gpus else None,
    )


def _advice(name: str) -> str:
    if f"ml.{name}" in INSTANCE_TYPES:
        return f"SageMaker's name is `ml.{name}`"
    match = re.fullmatch(r"ml\.([a-z0-9-]+)\..+", name)
    siblings = [known for known in INSTANCE_TYPES if match and known.split(".")[1] == match[1]]
    if siblings:
        return f"of this family these are known: {', '.join(siblings)}"
    return "use a name such as `ml.m5.xlarge`, `ml.g5.2xlarge`, or `local`"
