"""What a drill would have cost on AWS, as far as the price list of the contract knows."""

from collections.abc import Mapping, Sequence
from typing import Any

from intermodal_contract.prices import AS_OF, HOURLY_USD, REGION, SOURCE

Instances = Sequence[Mapping[str, Any]]
"""Each a `type` and a `count`."""


def cost_of(instances: Instances, seconds: float, ratio: float = 1.0) -> dict[str, Any]:
    """What instances cost for so long.

    Args:
        instances: what would have run.
        seconds: for how long.
        ratio: what is paid of the full price.

    Returns:
        `usd`, None where a price is not known; and `basis`, which says how it comes about.
    """
    shown = " + ".join(f"{one['count']} x {one['type']}" for one in instances)
    if not instances:
        return {"usd": None, "basis": "no instances; what requests cost is not known here"}
    unknown = [one["type"] for one in instances if one["type"] not in HOURLY_USD]
    if unknown:
        return {"usd": None, "basis": f"{shown}: the price of {unknown[0]} is not known here"}
    hourly = sum(HOURLY_USD[one["type"]] * one["count"] for one in instances) * ratio
    kind = "on demand" if ratio == 1.0 else f"at {ratio:g} of the price on demand"
    return {
        "usd": round(hourly * seconds / 3600, 6),
        "basis": f"{shown} for {seconds:.1f} s at {hourly:.4g} USD an hour ({REGION}, {kind}, as "
        f"of {AS_OF}; {SOURCE})",
    }


def most(one: Instances, other: Instances) -> Instances:
    """Whichever of the two has more instances."""
    return max(one, other, key=lambda each: sum(entry["count"] for entry in each))
