"""The program that the engine starts: `python -I -S feeder.py PLAN LOG LOCK_FD READY_FD`.

    engine ── (ends at once) ── guard          sees the feeder die
                                └─ feeder      makes the FIFOs, waits for readers, sees all end
                                   └─ writer   a fork an epoch: moves the bytes

They live on when the engine dies, and end with their instance. A reader takes the end of a FIFO for
the end of an epoch, so no death may close one early: feeder and writer both hold the end that is
written to, and what one cannot finish ends the instance, which is never left waiting.
"""

# The program does without pathlib, whose import costs 5 ms.
# ruff: noqa: PTH100
import os
import sys

sys.path.append(os.path.abspath(__file__).rsplit("/", 5)[0])

from intermodal_engine.lifecycle.pipes.program.feeding import main

if __name__ == "__main__" and os.fork() == 0:
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
