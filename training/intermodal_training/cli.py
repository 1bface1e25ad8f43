"""The program `train`: what a training container starts with.

read the contract -> place the source -> install what it requires -> wait for the hosts
    -> run it, passing signals on -> report
"""

import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace

from intermodal_contract.errors import IntermodalError
from intermodal_contract.training_files import TrainingPaths
from intermodal_training import hosts, report, supervise
from intermodal_training.environment import script_environment
from intermodal_training.errors import TrainError
from intermodal_training.job import read_job
from intermodal_training.launchers import Run, choose
from intermodal_training.launchers.process import make_executable
from intermodal_training.network import with_interface
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
    launcher.check(job, entry_point)
    layer = None
    if entry_point.is_package or (folder / "requirements.txt").is_file():
        from intermodal_training.requirements import install

        layer = install(job, entry_point, environment)
    hosts.wait_for_hosts(job.resources.hosts, hosts.wait_seconds(environment))
    job = replace(job, resources=with_interface(job.resources))
    python_path = [str(folder), *([str(layer)] if layer else [])]
    of_script = script_environment(job, environment, python_path)
    if layer:
        of_script["PATH"] = os.pathsep.join([str(layer / "bin"), of_script.get("PATH", os.defpath)])
    make_executable(entry_point)
    ending = launcher.launch(Run(job.as_launched(), entry_point, of_script, signals))
    return _settle(paths, ending)


def _settle(paths: TrainingPaths, ending: report.Ending) -> int:
    if ending.exit_code == 0:
        report.write_success(paths)
        return 0
    report.write_failure(paths, ending.failure)
    told = ending.failure.splitlines()[-1] if ending.is_told else ending.failure
    report.say(told.replace("\n", "\n  "))
    return ending.exit_code


if __name__ == "__main__":
    sys.exit(main())
