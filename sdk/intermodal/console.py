"""Where AWS's web console shows a job, a model or an endpoint; other servers have no such page."""

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from intermodal.clients import Clients

JOBS, ENDPOINTS, MODELS = "jobs", "endpoints", "models"


def console_url(clients: "Clients", page: str, name: str) -> str | None:
    """The page's address, or `None` where no console shows it.

    Nothing is asked or sent: a session that has not spoken to SageMaker yet has no page either.

    Args:
        clients: the session.
        page: of SageMaker's console, as in `jobs`.
        name: of the job, model or endpoint.
    """
    spoken_to = clients.control_plane
    if spoken_to is None:
        return None
    region, host = spoken_to[0], urlsplit(spoken_to[1]).hostname or ""
    console = _console(region, host)
    if console is None:
        return None
    return f"https://{console}/sagemaker/home?region={region}#/{page}/{quote(name, safe='')}"


def _console(region: str, host: str) -> str | None:
    """The console of the partition that an API host belongs to."""
    if host.endswith((".amazonaws.com.cn", ".api.amazonwebservices.com.cn")):
        return f"{region}.console.amazonaws.cn"
    if not host.endswith((".amazonaws.com", ".api.aws")):
        return None
    if region.startswith("us-gov-"):
        return "console.amazonaws-us-gov.com"
    return f"{region}.console.aws.amazon.com"
