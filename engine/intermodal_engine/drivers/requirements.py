"""What an instance asks of the machine, and whether an isolation level can give it."""

from pathlib import PurePosixPath

from intermodal_engine.drivers.base import InstanceSpec, PlanRefusedError
from intermodal_engine.drivers.isolation import ML, Isolation

OUR_PROGRAMS = frozenset({"train", "serve"})
"""Programs that honour SAGEMAKER_BASE_DIR, SAGEMAKER_BIND_TO_HOST and SAGEMAKER_BIND_TO_PORT."""
_ADVICE = "hint: run it as a container with `--driver docker`"


def is_alone(spec: InstanceSpec) -> bool:
    """Whether it needs no network at all: cut off, with no other host and no port to reach."""
    return not spec.outbound and len(spec.hosts) == 1 and not spec.ports


def check(spec: InstanceSpec, isolation: Isolation, *, has_network: bool) -> tuple[str, ...]:
    """Checks a spec.

    Args:
        spec: what shall run.
        isolation: what this machine allows.
        has_network: whether each instance gets a network of its own.

    Returns:
        What a person should know.

    Raises:
        PlanRefusedError: this machine cannot give what the spec needs.
    """
    is_ours = spec.command[0] in OUR_PROGRAMS
    if has_network:
        return ()
    if spec.ports and not is_ours:
        raise PlanRefusedError(
            f"`{spec.command[0]}` listens on port {spec.ports[0]}, and this machine can give an "
            f"instance no network of its own, so two of them would collide\n{_ADVICE}"
        )
    if not spec.outbound and (isolation is Isolation.NONE or not is_alone(spec)):
        raise PlanRefusedError(
            "network isolation was asked for, and this machine can give an instance no network of "
            f"its own\n{_ADVICE}"
        )
    return _check_without_mounts(spec, is_ours=is_ours) if isolation is Isolation.NONE else ()


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
    if not is_ours and any(str(ML) in word for word in spec.command):
        raise PlanRefusedError(
            f"`{spec.command[0]}` insists on {ML}, and this machine allows no namespaces to put "
            f"anything there\n{_ADVICE}"
        )
    return (f"no namespaces here: what would be in {ML} is in {spec.ml}, and inputs are copied",)
