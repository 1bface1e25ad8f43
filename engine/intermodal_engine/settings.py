"""What a person can set for one engine, and where its files lie."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PORT = 8765


def default_home() -> Path:
    """`$INTERMODAL_HOME`, else `~/.intermodal`."""
    return Path(os.environ.get("INTERMODAL_HOME") or Path.home() / ".intermodal").absolute()


@dataclass(frozen=True, slots=True)
class Settings:
    """One engine's settings.

    Attributes:
        home: folder of everything that it keeps (mode 0700).
        port: TCP port on loopback; 0 takes any free one; None, or 0, prefers the one that the
            last engine of this home had.
        listen: a further IPv4 address to listen on; None: loopback only.
        driver: `auto`, `process`, `docker` or `fake`.
        region: region that ARNs and zones carry where the request names none.
        account_id: twelve digits.
        stop_grace_s: seconds between SIGTERM and SIGKILL of a training job (AWS: 120).
        serving_stop_grace_s: the same for an endpoint's instance (AWS: 30).
        health_timeout_s: how long an endpoint's new instances may take to become healthy.
        max_endpoint_instances: how many instances one endpoint may have.
        serverless_idle_s: how long an instance of a serverless endpoint is kept without requests.
        max_instances: how many instances of jobs run at once; further jobs wait. Endpoints do not
            count.
        spot_capacity_wait_s: how long an interrupted spot job waits for capacity.
        spot_price_ratio: what spot instances cost, of the full price; `BillableTimeInSeconds` shows
            it. AWS speaks of savings of up to 90 %; 0.3 is usual.
        spot_interruptions_per_hour: how often, on average, a spot job that trains is interrupted.
        spot_seed: what the times of these interruptions are drawn from, with the job's name.
        scaling_period_s: period of the metrics that target tracking looks at, where the metric has
            none of its own (AWS: 60). It scales out after 3 of them, and in after 15.
        checkpoint_sync_s: how often running jobs are looked at for what they saved or printed.
        file_systems: local folders that stand for EFS and FSx file systems, by their ids.
        registry: URL of the registry of images behind ECR, as in `http://127.0.0.1:5000`; None
            where there is none.
    """

    home: Path
    port: int | None = None
    listen: str | None = None
    driver: str = "auto"
    region: str = "us-east-1"
    account_id: str = "123456789012"
    stop_grace_s: float = 120.0
    serving_stop_grace_s: float = 30.0
    health_timeout_s: float = 480.0
    max_instances: int = 8
    max_endpoint_instances: int = 32
    serverless_idle_s: float = 300.0
    spot_capacity_wait_s: float = 2.0
    spot_price_ratio: float = 0.3
    spot_interruptions_per_hour: float = 0.0
    spot_seed: int = 0
    scaling_period_s: int = 60
    checkpoint_sync_s: float = 2.0
    file_systems: Mapping[str, Path] = field(default_factory=dict)
    registry: str | None = None

    @property
    def state_file(self) -> Path:
        """What a client needs to find a running engine: `pid`, `port`, `endpoint_url`, ..."""
        return self.home / "engine.json"

    @property
    def port_file(self) -> Path:
        """The last engine's port; jobs that outlived that engine know it."""
        return self.home / "engine.port"

    @property
    def credentials_file(self) -> Path:
        """The engine's key pair, mode 0600."""
        return self.home / "credentials.json"

    @property
    def database_file(self) -> Path:
        """Rows and events."""
        return self.home / "state.sqlite"

    @property
    def objects_folder(self) -> Path:
        """S3: a folder a bucket."""
        return self.home / "s3"

    @property
    def scratch_folder(self) -> Path:
        """Temporary files, on the same file system as the objects."""
        return self.home / "tmp"

    @property
    def artifacts_folder(self) -> Path:
        """Archives in the making, on the same file system as the objects."""
        return self.scratch_folder / "artifacts"

    @property
    def captures_folder(self) -> Path:
        """Captured calls that are not in S3 yet."""
        return self.home / "captures"

    @property
    def instances_folder(self) -> Path:
        """A folder an instance."""
        return self.home / "instances"

    @property
    def models_folder(self) -> Path:
        """Unpacked model data, shared by the instances that serve it."""
        return self.home / "models"

    @property
    def logs_folder(self) -> Path:
        """Log groups and streams."""
        return self.home / "logs"

    @property
    def environments_folder(self) -> Path:
        """Python environments that stand in for images."""
        return self.home / "environments"

    @property
    def driver_folder(self) -> Path:
        """What the driver's instances share."""
        return self.home / "driver"

    @property
    def engine_log(self) -> Path:
        """The engine's own output when it runs detached."""
        return self.home / "engine.log"
