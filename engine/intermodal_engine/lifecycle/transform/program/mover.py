"""The program that the engine starts: `python -I -S mover.py FOLDER`.

It lives on when the engine dies, and inherits the folder's lock, which is held as long as it lives.
"""

import os
import sys
import traceback
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[4]))

from intermodal_engine.drivers.supervision import processes
from intermodal_engine.drivers.supervision.records import dump_json
from intermodal_engine.lifecycle.transform.plan import read_plan
from intermodal_engine.lifecycle.transform.program.client import InstanceLostError, NotHealthyError
from intermodal_engine.lifecycle.transform.program.moving import Mover


def main(folder: Path) -> None:
    """Moves the share of the instance whose `moved` folder this is, and says how that went."""
    pid = os.getpid()
    me = {"pid": pid, "start_ticks": processes.start_ticks(pid), "boot_id": processes.boot_id()}
    _put(folder, "mover.json", dump_json({**me}))
    try:
        Mover(read_plan(folder), folder).run()
    except NotHealthyError as error:
        _put(folder, "failure", f"AlgorithmError: {error}")
    except InstanceLostError as error:
        _put(folder, "failure", f"AlgorithmError: the container is gone: {error}")
    except Exception as error:  # noqa: BLE001 (whatever it was, the engine is told)
        traceback.print_exc()
        _put(folder, "failure", f"InternalServerError: the data could not be moved: {error}")
    else:
        _put(folder, "done", "")


def _put(folder: Path, name: str, text: str) -> None:
    making = folder / f"{name}.new"
    making.write_text(text, encoding="utf-8")
    making.rename(folder / name)


if __name__ == "__main__" and os.fork() == 0:
    os.umask(0o022)
    main(Path(sys.argv[1]))
