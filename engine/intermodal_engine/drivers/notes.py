"""What a driver says in an instance's log while it gets what a start needs."""

import logging
import time

from intermodal_engine.drivers.base import InstanceSpec

logger = logging.getLogger(__name__)


def tell(spec: InstanceSpec, line: str) -> None:
    """Tells the instance's log and the engine's."""
    logger.info("`%s`: %s", spec.instance_id, line)
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    with spec.log.open("a") as log:
        log.write(f"{time.time_ns() // 1_000_000} intermodal: {line}\n")
