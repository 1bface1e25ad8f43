"""What would be sent, without sending it: a session that only writes requests down."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from intermodal.session import Session
from intermodal.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import IO

    from intermodal_contract.channel import S3Uri


@dataclass(frozen=True, slots=True)
class DryRun:
    """Requests that were not sent. Printed, it shows them as JSON with what instances cost.

    Attributes:
        requests: parameters by operation, in the order in which they would be sent.
        region: where they would be sent to.
    """

    requests: Mapping[str, Mapping[str, Any]]
    region: str

    @property
    def request(self) -> Mapping[str, Any]:
        """The first of them: of a training job, all that there is."""
        return next(iter(self.requests.values()))

    @property
    def cost(self) -> str:
        """What the instances cost an hour, as far as that is known; a line for each type."""
        lines = [line for request in self.requests.values() for line in _costs(request)]
        return "\n".join(lines or ["no instances"]) + _elsewhere(self.region)

    def __str__(self) -> str:
        shown = [f"{name} {_json(request)}" for name, request in self.requests.items()]
        return "\n".join([*shown, "", self.cost, "Nothing was sent or uploaded."])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        shown = "".join(
            f'<details open><summary><b>{escape(name)}</b></summary><pre style="font-size:12px">'
            f"{escape(_json(request))}</pre></details>"
            for name, request in self.requests.items()
        )
        cost = escape(self.cost).replace("\n", "<br>")
        return f"<div>{shown}<p>{cost}</p><p>Nothing was sent or uploaded.</p></div>"


class _HasSession(Protocol):
    sagemaker_session: Session
    role: str | None


_Subject = TypeVar("_Subject", bound=_HasSession)


def rehearse(subject: _Subject, act: Callable[[_Subject], object]) -> DryRun:
    """Let an estimator or model do something and write down what it would send.

    Args:
        subject: stays as it is; a copy of it acts.
        act: what it does, without waiting for the outcome.
    """
    session = Rehearsal(subject.sagemaker_session, str(subject.role))
    stand_in = copy.copy(subject)
    stand_in.sagemaker_session = session
    act(stand_in)
    return DryRun(session.requests, session.boto_region_name)


class Rehearsal(Session):
    """A session that asks what must be asked and changes nothing anywhere.

    IAM is asked for a role that is only named, S3 for a model that code would be put into.

    Args:
        session: the real one.
        role: what the job would run as; an ARN tells the account.
    """

    def __init__(self, session: Session, role: str) -> None:
        self.requests: dict[str, Mapping[str, Any]] = {}
        super().__init__(
            sagemaker_client=_Recorder(self.requests),
            default_bucket=session._wanted_bucket,
            default_bucket_prefix=session.default_bucket_prefix,
        )
        self.defaults = session.defaults
        self._real = session
        self._role = role

    @property
    def boto_region_name(self) -> str:
        """The real session's."""
        return self._real.boto_region_name

    @property
    def storage(self) -> Storage:
        """Tells where uploads would lie."""
        return _Unwritten(self._real.client("s3"))

    def account_id(self) -> str:
        """A role that SageMaker may assume for the caller is of the caller's own account."""
        return self.expand_role(self._role).split(":")[4]

    def expand_role(self, role: str) -> str:
        """As the real session does it."""
        return self._real.expand_role(role)

    def _make_bucket(self, name: str) -> None:
        pass


class _Recorder:
    """Stands where boto3's client of the control plane stands."""

    def __init__(self, requests: dict[str, Mapping[str, Any]]) -> None:
        self._requests = requests

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def record(**request: Any) -> dict[str, Any]:
            self._requests["".join(map(str.capitalize, name.split("_")))] = request
            return {}

        return record


class _Unwritten(Storage):
    def put(self, body: "bytes | IO[bytes]", uri: "S3Uri", extra: Mapping[str, str]) -> None:
        pass

    def _upload_all(
        self,
        files: "Sequence[tuple[Path, str]]",
        bucket: str,
        extra: Mapping[str, str],
        callback: Any,
    ) -> None:
        pass


def _json(request: Mapping[str, Any]) -> str:
    return json.dumps(request, indent=2, default=str, ensure_ascii=False)


def _costs(request: Mapping[str, Any]) -> Iterator[str]:
    from intermodal_contract.prices import AS_OF, HOURLY_USD, REGION

    spot = "; on spot it is less" if request.get("EnableManagedSpotTraining") else ""
    for kind, count in _instances(request):
        price = HOURLY_USD.get(kind)
        if price is None:
            yield f"{count} x {kind}: the price is not known here"
            continue
        yield (
            f"{count} x {kind}: {price * count:.2f} USD an hour"
            f" ({REGION}, on demand, as of {AS_OF}){spot}"
        )
        limit_s = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
        if limit_s:
            most = price * count * limit_s / 3600
            yield f"  at most {most:.2f} USD, when it runs for max_run={limit_s} seconds"


def _instances(request: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    resources = request.get("ResourceConfig", {})
    for group in resources.get("InstanceGroups") or [resources]:
        if "InstanceType" in group:
            yield group["InstanceType"], group["InstanceCount"]
    for variant in request.get("ProductionVariants", []):
        if "InstanceType" in variant:
            yield variant["InstanceType"], variant["InitialInstanceCount"]


def _elsewhere(region: str) -> str:
    from intermodal_contract.prices import REGION, SOURCE

    other = "" if region == REGION else f"{region} may differ; "
    return f"\n{other}storage and transfer come on top: {SOURCE}"
