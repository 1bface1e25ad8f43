"""The AWS CLI in one process for many commands: its own start takes longer than they do."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore import xform_name

_PROGRAM = """
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver

answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    shown, said = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
        try:
            code = create_clidriver().main(json.loads(line))
        except SystemExit as end:
            code = end.code
    shown.flush()
    answer = [code, shown.buffer.getvalue().decode(), said.getvalue()]
    print(json.dumps(answer), file=answers, flush=True)
"""
_COMMANDS = {"s3": "s3api"}
"""Services whose operations have a command of another name than the service."""


class AwsCli:
    """Runs commands, and remembers whose operations they were."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.called: set[tuple[str, str]] = set()
        self._process = process

    def operation(self, service: str, operation: str, *arguments: object) -> Any:
        """What an operation answers through its own command, which must succeed.

        Args:
            service: botocore's name of it.
            operation: for example `CreateModel`.
            arguments: of the command; what is no text is written as JSON.
        """
        command = _command(service, operation, arguments)
        code, shown, said = self._run(command)
        assert code == 0, f"aws {' '.join(command)}\n{said}"
        self.called.add((service, operation))
        return json.loads(shown) if shown else {}

    def error_of(self, service: str, operation: str, *arguments: object) -> str | None:
        """The code of the error that an operation answers; None if it answers well."""
        code, _, said = self._run(_command(service, operation, arguments))
        self.called.add((service, operation))
        if code == 0:
            return None
        found = re.search(r"An error occurred \((\w+)\) when calling", said)
        assert found is not None, said
        return found.group(1)

    def _run(self, command: list[str]) -> tuple[int, str, str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        code, shown, said = json.loads(self._process.stdout.readline())
        return code, shown, said


def _command(service: str, operation: str, arguments: tuple[object, ...]) -> list[str]:
    words = [word if isinstance(word, str) else json.dumps(word) for word in arguments]
    return [_COMMANDS.get(service, service), xform_name(operation, "-"), *words]


@contextmanager
def aws_cli(environment: Mapping[str, str]) -> Iterator[AwsCli]:
    """The CLI that is installed beside the tests, in an environment."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield AwsCli(process)
