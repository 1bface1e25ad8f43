"""As many instances as the traffic needs: Application Auto Scaling for endpoint variants.

https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-add-code-define.html
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intermodal.session import Session

SERVICE = "application-autoscaling"
_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_METRIC = "SageMakerVariantInvocationsPerInstance"


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """How one variant grows and shrinks.

    Attributes:
        min_capacity: never fewer instances.
        max_capacity: never more instances.
        target_value: invocations a minute and instance to aim at.
        scale_in_cooldown: seconds between two steps down.
        scale_out_cooldown: seconds between two steps up.
    """

    min_capacity: int
    max_capacity: int
    target_value: float
    scale_in_cooldown: int = 300
    scale_out_cooldown: int = 300

    def put(self, session: "Session", endpoint_name: str, variant_name: str) -> str:
        """Register the variant and its policy; one that there is already is replaced.

        Returns:
            The policy's ARN.
        """
        if not 0 <= self.min_capacity <= self.max_capacity or self.max_capacity < 1:
            raise ValueError(
                f"`max_capacity`: {self.max_capacity} is below `min_capacity`, {self.min_capacity}"
            )
        client = session.client(SERVICE)
        variant = _variant(endpoint_name, variant_name)
        client.register_scalable_target(
            **variant, MinCapacity=self.min_capacity, MaxCapacity=self.max_capacity
        )
        answer = client.put_scaling_policy(
            **variant,
            PolicyName=f"{endpoint_name}-{variant_name}-invocations",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": self.target_value,
                "PredefinedMetricSpecification": {"PredefinedMetricType": _METRIC},
                "ScaleInCooldown": self.scale_in_cooldown,
                "ScaleOutCooldown": self.scale_out_cooldown,
            },
        )
        return str(answer["PolicyARN"])


def stop_autoscaling(session: "Session", endpoint_name: str, variant_name: str) -> None:
    """Keep the number of instances as it is; the policy goes with the registration."""
    session.client(SERVICE).deregister_scalable_target(**_variant(endpoint_name, variant_name))


def _variant(endpoint_name: str, variant_name: str) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint_name}/variant/{variant_name}",
        "ScalableDimension": _DIMENSION,
    }
