"""The program `train`: what a training container starts with.

read the contract -> place the source -> install what it requires -> wait for the hosts
    -> run it, passing signals on -> report
"""

import os
import sys
import traceback
from collections.abc import Mapping

from intermodal_contract.errors import IntermodalError
from intermodal_contract.training_files import TrainingPaths
from intermodal_training import hosts, report, supervise
from intermodal_training.environment import script_environment
from intermodal_training.errors import EntryPointError, TrainError
from intermodal_training.job import read_job
from intermodal_training.launchers import choose
from intermodal_training.launchers.process import make_executable
from intermodal_training.user_code import find_entry_point, place_source


def main() -> int:
    """Runs the job; the exit code is the script's own."""
    paths = TrainingPaths.from_environment(os.environ)
    report.forget_earlier_reports(paths)
    signals = supervise.Signals()
    with signals.installed():
        try:
            return _train(paths, dict(os.environ), signals)
        except IntermodalError as error:
            report.say(str(error))
            report.write_failure(paths, str(error))
            return error.exit_code if isinstance(error, TrainError) else 1
        except Exception as error:  # noqa: BLE001 - the last resort: the job must say why it failed
            traceback.print_exc()
            report.write_failure(
                paths, f"`train` itself failed, not your script: {type(error).__name__}: {error}"
            )
            return 1


def _train(paths: TrainingPaths, environment: Mapping[str, str], signals: supervise.Signals) -> int:
    job = read_job(paths, environment)
    launcher = choose(job)
    folder = place_source(job, environment)
    entry_point = find_entry_point(folder, job.entry_point)
    layer = None
    if entry_point.is_package or (folder / "requirements.txt").is_file():
        from intermodal_training.requirements import install

        layer = install(job, entry_point, environment)
    hosts.wait_for_hosts(job.resources.hosts, hosts.wait_seconds(environment))
    python_path = [str(folder), *([str(layer)] if layer else [])]
    of_script = script_environment(job, environment, python_path)
    if layer:
        of_script["PATH"] = os.pathsep.join([str(layer / "bin"), of_script.get("PATH", os.defpath)])
    make_executable(entry_point)
    command = launcher(job, entry_point)
    try:
        outcome = supervise.run(command, folder, of_script, signals)
    except OSError as error:
        raise EntryPointError(
            f"`{entry_point.name}` cannot be started: {error.strerror}",
            hint="does its first line name an interpreter that the image has, without a "
            "carriage return at its end?",
        ) from error
    return _settle(paths, outcome, command)


def _settle(paths: TrainingPaths, outcome: supervise.Outcome, command: tuple[str, ...]) -> int:
    if outcome.exit_code == 0:
        report.write_success(paths)
        return 0
    text = report.describe(outcome, command)
    report.write_failure(paths, text)
    report.say(text.replace("\n", "\n  ") if outcome.signal else text.splitlines()[-1])
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
