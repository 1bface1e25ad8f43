"""The program that the engine starts: `python -I -S supervisor.py plan.json`.

    engine ── supervisor          reads the program's output, keeps time, writes exit.json
                └─ init           PID 1 of its namespace, or a child subreaper without one
                     └─ program   the job, with everything that it starts

It lives on when the engine dies. When it dies itself, the kernel tells init, and the tree ends.
Isolated mode leaves only the standard library on the path; this file adds the engine's own folder
behind it, so that the modules beside it load from their compiled form.
"""

# The supervisor does without pathlib, whose import costs 5 ms.
# ruff: noqa: PTH100
import os
import sys

sys.path.append(os.path.abspath(__file__).rsplit("/", 4)[0])

from intermodal_engine.drivers.supervision.instance import main

main(sys.argv[1])
