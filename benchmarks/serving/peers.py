"""The servers that people come from, each in an environment of its own below `.bench-peers/`.

Torch is not installed again: a path file lets each environment see what this one has, after its own
packages. pip may not bring another torch either.
"""

import getpass
import grp
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import NotMeasuredError
from benchmarks.serving.choice import chosen
from benchmarks.serving.programs import CACHE, library_path, program
from benchmarks.serving.servers import HOST, Launch
from benchmarks.serving.workloads import JSON, Workload

_ROOT = CACHE.parent
_PROGRAMS = "benchmarks.serving.peer_programs"
_NGINX = """
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  upstream gunicorn {{
    server unix:{socket};
  }}
  server {{
    listen {host}:{port} deferred;
    client_max_body_size 5m;
    keepalive_timeout 5;
    location ~ ^/(ping|invocations) {{
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header Host $http_host;
      proxy_redirect off;
      proxy_pass http://gunicorn;
    }}
    location / {{
      return 404 "{{}}";
    }}
  }}
}}
"""


def peers() -> list["Peer"]:
    """Those that `BENCH_PEERS` names, or all."""
    known: list[Peer] = [Flask(), LitServe(), BentoML()]
    return chosen("BENCH_PEERS", {peer.folder: peer for peer in known})


@dataclass(frozen=True, slots=True)
class Peer:
    """A server with a Python environment of its own.

    Attributes:
        name: as the table has it.
        folder: of its environment.
        requirements: exactly what is installed there.
    """

    name: str
    folder: str
    requirements: tuple[str, ...]

    @property
    def starts(self) -> int:
        """More than once: BentoML guesses free ports for itself, and may guess wrong."""
        return 3

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(CACHE / self.folder / "bin" / "python")

    def prepare(self) -> None:
        """Installs it, if these requirements are not installed yet.

        Raises:
            NotMeasuredError: that failed.
        """
        ready = CACHE / self.folder / ".ready"
        wanted = "\n".join(self.requirements)
        if ready.exists() and ready.read_text() == wanted:
            return
        print(f"installing {self.name} below {CACHE.name}/ ...", file=sys.stderr, flush=True)
        constraints = CACHE / "constraints.txt"
        constraints.parent.mkdir(exist_ok=True)
        constraints.write_text(f"torch=={importlib.metadata.version('torch')}\n")
        _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(ready.parent)])
        pip = [sys.executable, "-m", "pip", "--python", self.python, "--quiet"]
        pip += ["--disable-pip-version-check", "install", "--constraint", str(constraints)]
        _run([*pip, *self.requirements])
        _own_packages(ready.parent).joinpath("torch_of_the_project.pth").write_text(
            sysconfig.get_path("purelib") + "\n"
        )
        ready.write_text(wanted)

    def environment(
        self, workload: Workload, base: Path, port: int, workers: int
    ) -> dict[str, str]:
        """What its program reads, and one thread for torch on the one core."""
        return {
            "PYTHONPATH": str(_ROOT),
            "OMP_NUM_THREADS": "1",
            "BENCH_MODEL": str(base / "model"),
            "BENCH_CONTENT_TYPE": workload.content_type,
            "BENCH_MAX_BATCH": str(workload.max_batch),
            "BENCH_WORKERS": str(workers),
            "BENCH_PORT": str(port),
            "BENCH_KIND": _kind(workload),
        }

    def launch(self, workload: Workload, base: Path, port: int, workers: int) -> Launch:
        """How it serves one workload."""
        raise NotImplementedError


class Flask(Peer):
    """The vendor's bring-your-own-container sample."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(
            "flask+gunicorn+nginx", "flask", ("flask==3.1.3", "gunicorn==27.0.1", "numpy>=1.26")
        )

    def prepare(self) -> None:
        """Also finds nginx."""
        program("nginx")
        super().prepare()

    def launch(self, workload: Workload, base: Path, port: int, workers: int) -> Launch:
        """The sample's `serve`, its nginx configuration on loopback and without an access log."""
        socket, configuration = base / "gunicorn.sock", base / "nginx.conf"
        is_root = os.geteuid() == 0
        group = grp.getgrgid(os.getegid()).gr_name
        user = f"user {getpass.getuser()} {group};" if is_root else ""
        configuration.write_text(
            _NGINX.format(user=user, folder=base, socket=socket, host=HOST, port=port)
        )
        arguments = [program("nginx"), str(configuration), str(socket)]
        return Launch(
            [self.python, "-m", f"{_PROGRAMS}.flask_serve", *arguments],
            self.environment(workload, base, port, workers) | {"LD_LIBRARY_PATH": library_path()},
        )


class LitServe(Peer):
    """LitServe, its two kinds of processes on the one core."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("LitServe", "litserve", ("litserve==0.2.19", "numpy>=1.26"))

    def launch(self, workload: Workload, base: Path, port: int, workers: int) -> Launch:
        """A script that runs a LitServer."""
        return Launch(
            [self.python, "-m", f"{_PROGRAMS}.litserve_app"],
            self.environment(workload, base, port, workers),
        )


class BentoML(Peer):
    """BentoML's own command."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("BentoML", "bentoml", ("bentoml==1.4.40", "numpy>=1.26"))

    def launch(self, workload: Workload, base: Path, port: int, workers: int) -> Launch:
        """`bentoml serve`; it may not report its use to anybody."""
        own = {
            "BENTOML_HOME": str(base / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        serve = ["-m", "bentoml_cli.cli", "serve", f"{_PROGRAMS}.bentoml_app:Service"]
        return Launch(
            [self.python, *serve, "--host", HOST, "--port", str(port)],
            self.environment(workload, base, port, workers) | own,
            ping_path="/readyz",
        )


def _kind(workload: Workload) -> str:
    if workload.sizes:
        return "mlp"
    return "echo" if workload.content_type == JSON else "mean"


def _own_packages(environment: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return environment / "lib" / version / "site-packages"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise NotMeasuredError(f"cannot be installed: {lines[-1][:160] if lines else 'no reason'}")
