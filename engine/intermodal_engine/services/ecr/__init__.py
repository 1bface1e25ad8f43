"""The ECR API: repositories and what is in them, in a registry that somebody else runs."""

from intermodal_engine.services.call import Operation
from intermodal_engine.services.ecr import authorization, images, repositories, tags

OPERATIONS: dict[str, Operation] = {
    **authorization.OPERATIONS,
    **repositories.OPERATIONS,
    **images.OPERATIONS,
    **tags.OPERATIONS,
}
