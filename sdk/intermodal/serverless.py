"""An endpoint without instances of its own, paid for by the request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerlessInferenceConfig:
    """How large and how many.

    Attributes:
        memory_size_in_mb: 1024 to 6144, in steps of 1024.
        max_concurrency: requests at once.
        provisioned_concurrency: of these, always ready.
    """

    memory_size_in_mb: int = 2048
    max_concurrency: int = 5
    provisioned_concurrency: int | None = None

    def request(self) -> dict[str, int]:
        """The entry as CreateEndpointConfig takes it."""
        config = {"MemorySizeInMB": self.memory_size_in_mb, "MaxConcurrency": self.max_concurrency}
        if self.provisioned_concurrency is not None:
            config["ProvisionedConcurrency"] = self.provisioned_concurrency
        return config
