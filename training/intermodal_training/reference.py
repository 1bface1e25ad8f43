"""Writes docs/reference/environment.md from the table of variables: `python -m …reference > FILE`.

Every example is the value that the code gives for one sample job.
"""

import sys

from intermodal_contract import env
from intermodal_contract.training_files import InstanceGroup, ResourceConfig, TrainingPaths
from intermodal_training.environment import (
    CHANNEL_PREFIX,
    HYPERPARAMETER_PREFIX,
    TORCH_VARIABLES,
    VARIABLES,
    Variable,
    script_environment,
)
from intermodal_training.hosts import DEFAULT_WAIT_S
from intermodal_training.hyperparameters import decode
from intermodal_training.job import DEFAULT_MASTER_PORT, TRAINING_MODULE, Job, Machine
from intermodal_training.launchers import parameter_server

_HEAD = """# Environment variables of a training script

This page is made from the code (`python -m intermodal_training.reference`); a test fails when it
is stale. The examples are those of a job on two `ml.g5.12xlarge` with the channels `train` and
`test-set` and the hyperparameters `epochs=3`, `learning-rate=0.1`, `name="net"`, `layers=[64, 10]`
and `warmup=None`.
"""

_HOW = """
Text is passed as it is; numbers, lists and objects are JSON, so `json.loads` reads them.
A name with a dash or a dot in it has two variables: the vendor's, which no shell can read, and one
with `_` in the place of everything that is no letter or digit.
"""

_ARGUMENTS = """
## Arguments

The script gets the hyperparameters as arguments too, sorted by name:

```
{arguments}
```

A name of one letter has one dash. `true` becomes `True`, `null` an empty argument, a list
`'[1, 2]'`, an object `a=1,b=x`. Hyperparameters that begin with `sagemaker_` are for `train`
itself and are not passed on.
"""

_READ_BY_TRAIN: tuple[tuple[str, str, str], ...] = (
    (env.BASE_DIR, "Folder that stands for `/opt/ml`.", "/opt/ml"),
    (env.PROGRAM, "Entry point; the hyperparameter `sagemaker_program` wins.", "train.py"),
    (
        env.SUBMIT_DIRECTORY,
        "Where the source is: `s3://…`, a folder or an archive; the hyperparameter "
        "`sagemaker_submit_directory` wins.",
        "/opt/ml/code",
    ),
    (TRAINING_MODULE, "Named in `SM_FRAMEWORK_MODULE`.", "my_image.training:main"),
    (env.CONTAINER_LOG_LEVEL, "Named in `SM_LOG_LEVEL`.", "20"),
    (
        env.HOST_WAIT_S,
        "Seconds that `train` waits until the other hosts' names resolve.",
        f"{DEFAULT_WAIT_S:.0f}",
    ),
    (env.STUDIO_LOCAL_MODE, "`true`: do not wait for names at all.", "true"),
    (
        env.MASTER_PORT,
        "Port of the first host for rendezvous, where the usual one is taken.",
        str(DEFAULT_MASTER_PORT),
    ),
    (
        env.MPI_SECRET,
        "Any text that only the hosts of an MPI job know, beside what they know anyway.",
        "…",
    ),
    ("PIP_INDEX_URL", "Where pip finds packages; all `PIP_…` variables work.", "https://…"),
    (env.AWS_ENDPOINT_URL, "Where S3 is, if not at AWS.", "http://127.0.0.1:8765"),
)


def sample_job() -> Job:
    """The job that the examples are of."""
    hosts = ("algo-1", "algo-2")
    return Job(
        paths=TrainingPaths(),
        hyperparameters=decode(
            {
                "epochs": "3",
                "learning-rate": "0.1",
                "name": '"net"',
                "layers": "[64, 10]",
                "warmup": "null",
                "sagemaker_program": '"train.py"',
                "sagemaker_distribution_instance_groups": '["homogeneousCluster"]',
            }
        ),
        channels={
            name: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for name in ("train", "test-set")
        },
        resources=ResourceConfig(
            current_host="algo-1",
            hosts=hosts,
            current_instance_type="ml.g5.12xlarge",
            current_group_name="homogeneousCluster",
            instance_groups=(InstanceGroup("homogeneousCluster", "ml.g5.12xlarge", hosts),),
            topology={"version": "1"},
        ),
        machine=Machine(cpus=48, gpus=4),
        entry_point="train.py",
        source="s3://bucket/job/source/sourcedir.tar.gz",
        name="mnist-2026-01-01",
        region="eu-west-1",
        framework_module="my_image.training:main",
        has_torch=True,
    )


def render() -> str:
    """The whole page."""
    job = sample_job()
    values = script_environment(job, {env.WARM_POOL_CACHE: ""})
    arguments = "python train.py " + " ".join(_arguments(values["SM_USER_ARGS"]))
    return "\n".join(
        [
            _HEAD,
            "## Set for every script",
            _HOW,
            *_table(VARIABLES, values),
            "",
            "## A variable a channel, a variable a hyperparameter",
            "",
            *_family(CHANNEL_PREFIX, "Folder of the channel.", values),
            *_family(HYPERPARAMETER_PREFIX, "Value of the hyperparameter.", values)[2:],
            "",
            "## Set where the image holds PyTorch, unless the job sets them",
            "",
            *_table(TORCH_VARIABLES, values),
            "",
            "## Set by launchers",
            "",
            *_launchers(job),
            "",
            "## Changed",
            "",
            "| variable | how |",
            "|---|---|",
            "| `PYTHONPATH` | begins with the source and the layer of installed requirements |",
            "| `PATH` | begins with that layer's `bin`, where there is one |",
            "| `PYTHONUNBUFFERED` | `1`, unless the job sets it |",
            "",
            "Every other variable of the job and of the image reaches the script as it is.",
            _ARGUMENTS.format(arguments=arguments),
            "## Read by `train`",
            "",
            "| variable | meaning | example |",
            "|---|---|---|",
            *(f"| `{name}` | {what} | `{example}` |" for name, what, example in _READ_BY_TRAIN),
            "",
        ]
    )


def main() -> None:
    """Prints the page."""
    sys.stdout.write(render())


_TORCHRUN = (
    ("RANK", "Rank of the process, over all hosts."),
    ("LOCAL_RANK", "Rank of the process on its host."),
    ("WORLD_SIZE", "Number of processes, over all hosts."),
    ("LOCAL_WORLD_SIZE", "Number of processes on this host."),
    ("OMP_NUM_THREADS", "The CPUs of the host shared out, unless the job sets it."),
)
_MPI = (
    ("OMPI_COMM_WORLD_RANK", "Rank of the process, over all hosts."),
    ("OMPI_COMM_WORLD_LOCAL_RANK", "Rank of the process on its host."),
    ("OMPI_COMM_WORLD_SIZE", "Number of processes, over all hosts."),
)
_SERVER = {
    "DMLC_ROLE": "What the process is; a script sees `worker`.",
    "DMLC_NUM_WORKER": "Number of workers, one a host.",
    "DMLC_NUM_SERVER": "Number of servers, one a host.",
    "DMLC_PS_ROOT_URI": "Address of the scheduler.",
    "DMLC_PS_ROOT_PORT": "Port of the scheduler.",
    "DMLC_NODE_HOST": "Address of this host.",
    "PS_VERBOSE": "What ps-lite logs.",
}


def _launchers(job: Job) -> list[str]:
    server = parameter_server.variables(job, "worker", "10.0.0.1", "10.0.0.2")
    rows = [
        *(("torchrun", name, meaning, "") for name, meaning in _TORCHRUN),
        *(("MPI", name, meaning, "") for name, meaning in _MPI),
        *(("parameter server", name, _SERVER[name], value) for name, value in server.items()),
    ]
    return [
        "| launcher | variable | meaning | example |",
        "|---|---|---|---|",
        *(
            f"| {launcher} | `{name}` | {meaning} | {f'`{value}`' if value else ''} |"
            for launcher, name, meaning, value in rows
        ),
    ]


def _table(variables: tuple[Variable, ...], values: dict[str, str]) -> list[str]:
    return [
        "| variable | meaning | example |",
        "|---|---|---|",
        *(
            f"| `{variable.name}` | {variable.meaning} | {_example(values[variable.name])} |"
            for variable in variables
        ),
    ]


def _family(prefix: str, meaning: str, values: dict[str, str]) -> list[str]:
    return [
        "| variable | meaning | example |",
        "|---|---|---|",
        *(
            f"| `{name}` | {meaning} | {_example(values[name])} |"
            for name in sorted(values)
            if name.startswith(prefix)
        ),
    ]


def _example(value: str) -> str:
    return f"`{value.replace('|', chr(92) + '|')}`" if value else "(empty)"


def _arguments(encoded: str) -> list[str]:
    import json
    import shlex

    return [shlex.quote(argument) for argument in json.loads(encoded)]


if __name__ == "__main__":
    main()
