"""How long the credentials of a job or an endpoint are good: as long as it is there and not ended.

They are issued to a subject, which is one record and none of the same name after it.
"""

from intermodal_contract.statuses import TrainingJobStatus, is_terminal
from intermodal_engine.lifecycle.fleet_kind import FLEET_KINDS
from intermodal_engine.store.records import Record, Records

_FLEETS = frozenset(kind.name for kind in FLEET_KINDS)


def subject_of(record: Record) -> str:
    """Whom credentials are issued to."""
    return f"{record.kind}/{record.name}/{record.created_at:.6f}"


def is_current(records: Records, subject: str) -> bool:
    """Whether what the credentials were issued to may still use them."""
    kind, _, rest = subject.partition("/")
    record = records.find(kind, rest.partition("/")[0])
    if record is None or subject_of(record) != subject:
        return False
    # Jobs of all kinds end with the same words; an endpoint's containers may outlive its failure.
    return kind in _FLEETS or not is_terminal(TrainingJobStatus(record.status))
