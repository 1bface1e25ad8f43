"""Who calls, and which role that is: STS and IAM."""

from collections.abc import Mapping
from functools import cached_property

from intermodal.clients import Clients
from intermodal.errors import RoleNotFoundError


class Identity(Clients):
    """What a session knows of its caller and of roles."""

    @cached_property
    def caller_identity(self) -> Mapping[str, str]:
        """STS GetCallerIdentity: `Account`, `Arn`, `UserId`."""
        answer = self.client("sts").get_caller_identity()
        return {name: answer[name] for name in ("Account", "Arn", "UserId")}

    def account_id(self) -> str:
        """The caller's account, twelve digits."""
        return self.caller_identity["Account"]

    def expand_role(self, role: str) -> str:
        """The role's ARN: an ARN as it is, a name looked up in IAM.

        Raises:
            RoleNotFoundError: IAM knows no such role.
        """
        if "/" in role:
            return role
        if role not in self._role_arns:
            self._role_arns[role] = self._looked_up(role)
        return self._role_arns[role]

    def _looked_up(self, role: str) -> str:
        iam = self.client("iam")
        try:
            return str(iam.get_role(RoleName=role)["Role"]["Arn"])
        except iam.exceptions.NoSuchEntityException as error:
            raise RoleNotFoundError(
                f"there is no role `{role}` in the caller's account",
                hint="give `role=` the ARN of a role that SageMaker may assume",
            ) from error

    def get_caller_identity_arn(self) -> str:
        """The ARN of the role that the caller has assumed.

        Raises:
            RoleNotFoundError: the caller is an IAM user or the account itself.
        """
        arn = self.caller_identity["Arn"]
        kind, _, rest = arn.rpartition(":")[2].partition("/")
        if kind != "assumed-role":
            raise RoleNotFoundError(
                f"the caller `{arn}` is no role, so its role cannot serve as the execution role",
                hint="give `role=` the ARN of a role that SageMaker may assume; "
                "on a SageMaker notebook this call finds it by itself",
            )
        return self._role_arn(rest.partition("/")[0], arn)

    def _role_arn(self, name: str, caller_arn: str) -> str:
        from botocore.exceptions import ClientError

        try:
            return self.expand_role(name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"AccessDenied", "AccessDeniedException"}:
                raise
        # IAM may not be asked. A role of SageMaker's console lies below /service-role/, others at
        # the top.
        partition, account = caller_arn.split(":")[1], caller_arn.split(":")[4]
        path = "service-role/" if name.startswith("AmazonSageMaker-ExecutionRole") else ""
        return f"arn:{partition}:iam::{account}:role/{path}{name}"

    @cached_property
    def _role_arns(self) -> dict[str, str]:
        return {}
