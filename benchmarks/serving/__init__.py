"""The program `serve` under load, beside the servers that people come from.

- `speed`: requests a second and latencies of four workloads;
- `start`: cold starts, and the memory of a worker;
- `faults`: a worker that is killed, and SIGTERM, both at full load.

The server has one core and the load generator another. The peers run in the same window as `serve`,
with the same models and bodies; each lives in an environment of its own in `.bench-peers/`, made
when it is first needed. `BENCH_PEERS` names those to measure beside it (all, unless set; empty:
none), `BENCH_WORKLOADS` the workloads (`W1 W3`; all, unless set).
"""
