"""What can be asked on the command line, and how what went wrong becomes a message and a code."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli.arguments import (
    add_home,
    add_json,
    address,
    age_s,
    amount,
    count,
    name,
    port,
    region,
    registry,
)
from intermodal_engine.cli.drills.options import add_drills
from intermodal_engine.cli.output import print_error
from intermodal_engine.settings import DEFAULT_PORT, Settings, default_home

EXIT_OK = 0
EXIT_USER_ERROR = 1
EXIT_UNAVAILABLE = 3
EXIT_INTERRUPTED = 130
_DEFAULTS = {field.name: field.default for field in fields(Settings)}
DISTRIBUTION = "intermodal-engine"

Command = Callable[[argparse.Namespace], int]


class UnavailableError(IntermodalError):
    """What the command needs does not answer: no engine runs, or it hangs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: without the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    options = parser().parse_args(arguments)
    try:
        code = _command(options.command)(options)
        sys.stdout.flush()
    except UnavailableError as error:
        print_error(error)
        return EXIT_UNAVAILABLE
    except IntermodalError as error:
        print_error(error)
        return EXIT_USER_ERROR
    except BrokenPipeError:  # `intermodal logs … | head`
        sys.stderr.close()
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - the last resort of the command line
        traceback.print_exc()
        fault = IntermodalError(
            f"`intermodal {options.command}` has failed; this is a fault of intermodal itself",
            hint="the lines above say where",
        )
        print_error(fault)
        return EXIT_USER_ERROR
    return code


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings of the home that a command is about."""
    return Settings(home=Path(options.home).absolute() if options.home else default_home())


def option_of(setting: str) -> str:
    """The option that stands for a setting: `stop_grace_s` -> `--stop-grace`."""
    if setting == "file_systems":
        return "--file-system"  # given once for each
    return f"--{setting.removesuffix('_s').replace('_', '-')}"


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    root = argparse.ArgumentParser(
        prog="intermodal", description="AWS on one machine for machine-learning jobs"
    )
    root.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return add_home(commands.add_parser(name, help=summary, description=summary))

    _add_up(add("up", "start the engine"))
    add("down", "stop the engine; its jobs and endpoints keep running")
    add("restart", "start the engine anew without losing a call; its port stays open")
    add_json(add("status", "show the engine"))
    _add_logs(add("logs", "print the log of a job or an endpoint"))
    summary = "cause what AWS may cause, to see how jobs and endpoints take it"
    add_drills(commands.add_parser("drill", help=summary, description=summary))
    add_json(add("images", "list the images, and what stands in for them here"))
    _add_prune(add("prune", "free what ended jobs left behind"))
    _add_env(add("env", "print the `export` lines that point AWS clients at the engine"))
    _add_exec(add("exec", "run a command with the environment that `env` prints"))
    return root


def _command(name: str) -> Command:
    """Imports a command's module when it is needed, and only that."""
    match name:
        case "up":
            from intermodal_engine.cli.up import up as command
        case "down":
            from intermodal_engine.cli.down import down as command
        case "restart":
            from intermodal_engine.cli.restart import restart as command
        case "status":
            from intermodal_engine.cli.status import status as command
        case "logs":
            from intermodal_engine.cli.logs import logs as command
        case "drill":
            from intermodal_engine.cli.drill import drill as command
        case "images":
            from intermodal_engine.cli.images import images as command
        case "prune":
            from intermodal_engine.cli.prune import prune as command
        case "env":
            from intermodal_engine.cli.environment import env as command
        case "exec":
            from intermodal_engine.cli.environment import exec_ as command
        case _:
            raise AssertionError(name)
    return command


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        print(f"intermodal {version(DISTRIBUTION)}")
        parser.exit()


class _FileSystem(argparse.Action):
    """Collects `ID=DIR` pairs."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        file_system, separator, folder = str(values).partition("=")
        if not (file_system and separator and folder):
            parser.error(f"argument {option_string}: `{values}` is not of the form ID=DIR")
        if not Path(folder).is_dir():
            parser.error(f"argument {option_string}: `{folder}` is no folder")
        known = getattr(namespace, self.dest) or {}
        setattr(namespace, self.dest, {**known, file_system: Path(folder).absolute()})


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=port,
        metavar="N",
        help="TCP port on loopback; 0 takes any free one (default: that of the home's last engine, "
        f"which its running jobs know, else {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--listen",
        type=address,
        metavar="ADDRESS",
        help="a further IPv4 address of this machine to listen on, for other machines; without TLS "
        "(default: loopback only)",
    )
    parser.add_argument(
        "--driver",
        choices=("auto", "process", "docker", "fake"),
        metavar="{auto,process,docker}",
        help="what runs the instances (default: auto)",
    )
    parser.add_argument(
        "--detach", action="store_true", help="return as soon as the engine answers"
    )
    _add_settings(parser)
    for hidden in ("--ready-descriptor", "--listener-descriptor"):
        parser.add_argument(hidden, type=int, help=argparse.SUPPRESS)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Options that become the setting of the same name, where they are given."""
    settings = parser.add_argument_group("settings, for this run of the engine")

    def add(name: str, kind: Callable[[str], object], metavar: str, what: str) -> None:
        default = _DEFAULTS[name]
        settings.add_argument(
            option_of(name),
            dest=name,
            type=kind,
            metavar=metavar,
            help=f"{what} (default: {default})",
        )

    add("region", region, "REGION", "region of ARNs, and of clients that `env` points here")
    add("max_instances", count, "N", "instances of jobs that run at once; further jobs wait")
    add(
        "spot_interruptions_per_hour",
        amount,
        "X",
        "interrupt spot jobs at random, so often on average",
    )
    add(
        "spot_capacity_wait_s",
        amount,
        "SECONDS",
        "how long an interrupted spot job waits for capacity",
    )
    add(
        "stop_grace_s",
        amount,
        "SECONDS",
        "from SIGTERM to SIGKILL of a job that is stopped or interrupted; shorter than on AWS is "
        "for tests and the impatient",
    )
    add("max_endpoint_instances", count, "N", "instances that one endpoint may have")
    add(
        "serverless_idle_s",
        amount,
        "SECONDS",
        "how long an instance of a serverless endpoint is kept without requests",
    )
    add(
        "health_timeout_s",
        amount,
        "SECONDS",
        "how long an endpoint's new instances may take to answer /ping",
    )
    add(
        "scaling_period_s",
        count,
        "SECONDS",
        "period of the metrics that target tracking scales by: out after 3 of them, in after 15; "
        "60 on AWS, shorter is for tests and the impatient",
    )
    settings.add_argument(
        "--file-system",
        dest="file_systems",
        action=_FileSystem,
        metavar="ID=DIR",
        help="folder that stands in for an EFS or FSx file system of that id; may be repeated",
    )
    settings.add_argument(
        "--registry",
        type=registry,
        metavar="HOST:PORT",
        help="registry of images behind ECR, spoken to over HTTP on loopback, else over HTTPS; "
        "`http://` or `https://` before it says otherwise (default: none)",
    )


def _add_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=name, metavar="JOB", help="name of a job or an endpoint")
    parser.add_argument("--follow", action="store_true", help="go on until the job has ended")


def _add_prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older-than",
        type=age_s,
        default=age_s("7d"),
        metavar="AGE",
        help="only what ended that long ago, for example 12h or 0s (default: 7d)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    add_json(parser)


def _add_env(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    add_json(form)  # type: ignore[arg-type]  # a group takes arguments as a parser does
    form.add_argument("--unset", action="store_true", help="print the lines that undo it")


def _add_exec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD", help="what to run")
