"""What an instance asks of the machine, and whether an isolation level can give it."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from intermodal_contract.image import PROGRAMS
from intermodal_engine.drivers.base import InstanceSpec, PlanRefusedError
from intermodal_engine.drivers.isolation import ML, Isolation

OUR_COMMANDS = frozenset((program,) for program in PROGRAMS.values())
"""Our programs, which honour SAGEMAKER_BASE_DIR and SAGEMAKER_BIND_TO_HOST and …_TO_PORT."""
_ADVICE = "hint: run it as a container with `--driver docker`"


def is_alone(spec: InstanceSpec) -> bool:
    """Whether it needs no network at all: cut off, with no other host and no port to reach."""
    return not spec.outbound and len(spec.hosts) == 1 and not spec.ports


def check(
    spec: InstanceSpec, isolation: Isolation, *, has_network: bool, needed: Sequence[Path] = ()
) -> tuple[str, ...]:
    """Checks a spec.

    Args:
        spec: what shall run.
        isolation: what this machine allows.
        has_network: whether each instance gets a network of its own.
        needed: what the instance needs of the host, and no mount may hide.

    Returns:
        What a person should know.

    Raises:
        PlanRefusedError: this machine cannot give what the spec needs.
    """
    is_ours = spec.argv[:1] in OUR_COMMANDS
    if not spec.entrypoint and not is_ours:
        raise PlanRefusedError(
            "`ContainerEntrypoint` is missing, and the process driver cannot tell the entry point "
            f"of the image `{spec.image}`\n"
            'hint: name it, for example `["python3", "/opt/ml/processing/input/code/run.py"]`, or '
            "run it as a container with `--driver docker`"
        )
    if isolation is not Isolation.NONE:
        _check_mounts(spec, needed)
    if has_network:
        return ()
    if spec.ports and not is_ours:
        raise PlanRefusedError(
            f"`{spec.argv[0]}` listens on port {spec.ports[0]}, and this machine can give an "
            f"instance no network of its own, so two of them would collide\n{_ADVICE}"
        )
    if not spec.outbound and (isolation is Isolation.NONE or not is_alone(spec)):
        raise PlanRefusedError(
            "network isolation was asked for, and this machine can give an instance no network of "
            f"its own\n{_ADVICE}"
        )
    return _check_without_mounts(spec, is_ours=is_ours) if isolation is Isolation.NONE else ()


def _check_mounts(spec: InstanceSpec, needed: Sequence[Path]) -> None:
    """Looks at what is mounted beside /opt/ml, where the host's own files are."""
    for mount in spec.mounts:
        target = Path(mount.target)
        if target.is_relative_to(ML):
            continue
        hidden = next((one for one in needed if target in (one, *one.parents)), None)
        if hidden is not None:
            raise PlanRefusedError(
                f"`{target}` cannot be mounted: it would hide `{hidden}`, which the instance "
                "needs\nhint: choose another path, for example below /opt/ml"
            )
        # Not `Path.exists`, which raises where a folder above may not be looked into.
        place = next(one for one in (target, *target.parents) if os.path.exists(one))  # noqa: PTH110
        if not place.is_dir() or (place != target and not os.access(place, os.W_OK | os.X_OK)):
            why = "you may not write there" if place.is_dir() else "that is a file"
            raise PlanRefusedError(
                f"`{target}` cannot be made in `{place}`: {why}\n"
                "hint: choose another path, for example below /opt/ml"
            )


def _check_without_mounts(spec: InstanceSpec, *, is_ours: bool) -> tuple[str, ...]:
    for mount in spec.mounts:
        if ML not in PurePosixPath(mount.target).parents:
            raise PlanRefusedError(
                f"`{mount.target}` cannot be mounted: this machine allows no namespaces, and only "
                f"what is below {ML} can be placed elsewhere\n{_ADVICE}"
            )
    if len(spec.hosts) > 1:
        raise PlanRefusedError(
            "several hosts need host names, and this machine allows no namespaces to give them "
            f"any\n{_ADVICE}"
        )
    if not is_ours and any(str(ML) in word for word in spec.argv):
        raise PlanRefusedError(
            f"`{spec.argv[0]}` insists on {ML}, and this machine allows no namespaces to put "
            f"anything there\n{_ADVICE}"
        )
    return (f"no namespaces here: what would be in {ML} is in {spec.ml}, and inputs are copied",)
