"""What can be asked on the command line, and how what went wrong becomes a message and a code."""

import argparse
import math
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

from intermodal_contract.errors import IntermodalError
from intermodal_engine.cli.output import print_error
from intermodal_engine.settings import DEFAULT_PORT, Settings, default_home

EXIT_OK = 0
EXIT_USER_ERROR = 1
EXIT_UNAVAILABLE = 3
EXIT_INTERRUPTED = 130
_DEFAULTS = {field.name: field.default for field in fields(Settings)}
_REGION = r"[a-z]{2}(-[a-z]+)+-[0-9]"
# With a dot, a port or as `localhost`, or docker would take it for a folder of its usual registry.
_REGISTRY = r"(?:(https?)://)?(localhost(?::\d+)?|[a-z0-9-]+(?:(?:\.[a-z0-9-]+)+(?::\d+)?|:\d+))/?"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
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
        return _add_home(commands.add_parser(name, help=summary, description=summary))

    _add_up(add("up", "start the engine"))
    add("down", "stop the engine; its jobs and endpoints keep running")
    add("restart", "start the engine anew without losing a call; its port stays open")
    _add_json(add("status", "show the engine"))
    _add_logs(add("logs", "print the log of a job or an endpoint"))
    _add_drill(commands)
    _add_json(add("images", "list the images, and what stands in for them here"))
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


def _add_home(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--home",
        metavar="DIR",
        help="the engine's folder (default: $INTERMODAL_HOME, else ~/.intermodal)",
    )
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=_port,
        metavar="N",
        help="TCP port on loopback; 0 takes any free one (default: that of the home's last engine, "
        f"which its running jobs know, else {DEFAULT_PORT})",
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

    add("region", _region, "REGION", "region of ARNs, and of clients that `env` points here")
    add("max_instances", _count, "N", "instances of jobs that run at once; further jobs wait")
    add(
        "spot_interruptions_per_hour",
        _amount,
        "X",
        "interrupt spot jobs at random, so often on average",
    )
    add(
        "spot_capacity_wait_s",
        _amount,
        "SECONDS",
        "how long an interrupted spot job waits for capacity",
    )
    add(
        "stop_grace_s",
        _amount,
        "SECONDS",
        "from SIGTERM to SIGKILL of a job that is stopped or interrupted; shorter than on AWS is "
        "for tests and the impatient",
    )
    add("max_endpoint_instances", _count, "N", "instances that one endpoint may have")
    add(
        "serverless_idle_s",
        _amount,
        "SECONDS",
        "how long an instance of a serverless endpoint is kept without requests",
    )
    add(
        "health_timeout_s",
        _amount,
        "SECONDS",
        "how long an endpoint's new instances may take to answer /ping",
    )
    add(
        "scaling_period_s",
        _count,
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
        type=_registry,
        metavar="HOST:PORT",
        help="registry of images behind ECR, spoken to over HTTP on loopback, else over HTTPS; "
        "`http://` or `https://` before it says otherwise (default: none)",
    )


def _add_drill(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    summary = "cause what AWS may cause, to see how a job takes it"
    drills = commands.add_parser("drill", help=summary, description=summary).add_subparsers(
        dest="drill", metavar="DRILL", required=True
    )
    summary = "take a spot job's instances away"
    spot = _add_home(drills.add_parser("spot", help=summary, description=summary))
    spot.add_argument("name", metavar="JOB", help="name of a training job on managed spot")
    spot.add_argument(
        "--after", type=_amount, default=0.0, metavar="SECONDS", help="wait so long before"
    )
    _add_json(spot)


def _add_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="JOB", help="name of a job or an endpoint")
    parser.add_argument("--follow", action="store_true", help="go on until the job has ended")


def _add_prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older-than",
        type=_age_s,
        default=_age_s("7d"),
        metavar="AGE",
        help="only what ended that long ago, for example 12h or 0s (default: 7d)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    _add_json(parser)


def _add_env(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    _add_json(form)  # type: ignore[arg-type]  # a group takes arguments as a parser does
    form.add_argument("--unset", action="store_true", help="print the lines that undo it")


def _add_exec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD", help="what to run")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no TCP port (0 to 65535)")
    return port


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"`{text}` is no whole number above 0")
    return int(text)


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise argparse.ArgumentTypeError(f"`{text}` is no number from 0 on")
    return amount


def _region(text: str) -> str:
    if not re.fullmatch(_REGION, text):
        raise argparse.ArgumentTypeError(f"`{text}` is no region; write for example eu-central-1")
    return text


def _registry(text: str) -> str:
    """`127.0.0.1:5000` -> `http://127.0.0.1:5000`: which hosts need no TLS is docker's own rule."""
    found = re.fullmatch(_REGISTRY, text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(
            f"`{text}` is no registry; write HOST:PORT, for example 127.0.0.1:5000"
        )
    scheme, host = found.groups()
    is_loopback = host.partition(":")[0] == "localhost" or host.startswith("127.")
    return f"{scheme or ('http' if is_loopback else 'https')}://{host}"


def _age_s(text: str) -> float:
    """`90s`, `15m`, `12h`, `7d` -> seconds."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdecimal() and unit in _SECONDS):
        raise argparse.ArgumentTypeError(f"`{text}` is no age; write for example 90s, 12h or 7d")
    return float(number) * _SECONDS[unit]
