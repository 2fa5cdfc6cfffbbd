"""The loop of a side that is a peer: driven by the sample protocol (see scripts/README.md), its threads on cores of their own.

A product is one way of one library to compute one problem, an object with
- run(): computes it `products_in_run` times, rotating over the copies of what a cold problem reads from memory;
- version, and where a library lays out weights by itself, `layout`;
- tolerance_used: the part of its allowance that the output needed, checked before anything is timed.

A sample is a run untimed, which brings operands and threads back to where they were before the other side's turn, and then as
many runs as take SAMPLE_NANOSECONDS. What calling the library from Python costs is taken off, up to half of the time.
"""

import contextlib
import gc
import os
import sys
import time
from pathlib import Path

SAMPLE_NANOSECONDS = 300_000
MOST_RUNS = 4096
PIN_SECONDS = 0.03


def claim_output():
    """Standard output is the protocol's; what libraries print there goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def use_cores(threads):
    """The first `threads` cores, one hardware thread of each."""
    cores = {}
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        cores.setdefault(siblings.read_text().strip() if siblings.exists() else str(cpu), cpu)
    if threads > len(cores):
        sys.exit(f"side.py: {threads} threads on {len(cores)} cores; expected one core for each")
    used = list(cores.values())[:threads]
    os.sched_setaffinity(0, used)
    return used


def processor_times():
    """Nanoseconds each thread of this process has had a CPU."""
    times = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):  # it may have ended
            times[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    return times


def pin(run, cpus):
    """Gives each thread that works in `run` a core of its own, as ours have: two that were stopped on one core would
    share it for a while whenever they are resumed, which is no time of the library's."""
    before = processor_times()
    begin = time.monotonic()
    while time.monotonic() - begin < PIN_SECONDS:
        run()
    times = {thread: spent - before.get(thread, 0) for thread, spent in processor_times().items()}
    working = sorted((thread for thread in times if times[thread] > 1e9 * PIN_SECONDS / 10), key=lambda x: -times[x])
    # The main thread first, where it works too: that is how pools count.
    for thread, cpu in zip(sorted(working[: len(cpus)], key=lambda x: x != os.getpid()), cpus):
        os.sched_setaffinity(thread, [cpu])


def time_runs(run, count):
    begin = time.perf_counter_ns()
    for _ in range(count):
        run()
    return time.perf_counter_ns() - begin


def call_nanoseconds(run):
    """What a call costs, by a run that computes next to nothing."""
    time_runs(run, 20)
    return min(time_runs(run, 50) / 50 for _ in range(5))


def drive(peer, variant, threads, prepare):
    """Answers on standard output until told to quit.

    - prepare: makes the product, checked, and the nanoseconds of calling that are in each run of it. What it raises is the
      reason this side is left out, and the last line on standard error.
    """
    answers = claim_output()
    cpus = use_cores(threads)
    try:
        product, calls = prepare()
    except Exception as error:  # a library may raise anything: its first line is the reason
        reason = str(error).strip().splitlines() or [""]
        sys.exit(f"side.py: {peer} {variant}: {type(error).__name__}: {reason[0][:300]}")
    run, products = product.run, product.products_in_run
    pin(run, cpus)
    runs, elapsed = 1, time_runs(run, 2) / 2
    while elapsed < SAMPLE_NANOSECONDS and runs < MOST_RUNS:
        runs = min(MOST_RUNS, max(runs + 1, int(runs * SAMPLE_NANOSECONDS / elapsed * 1.2)))
        elapsed = time_runs(run, runs)
    layout = f", weights in {product.layout}" if hasattr(product, "layout") else ""
    used = f"{product.tolerance_used:.2g} of tolerance; {calls / products:.0f} ns of calls"
    gc.disable()
    print(f"ready {peer} {product.version} {variant}{layout}; {used}", file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        if line.strip() != "run":
            sys.exit(f"side.py: {line!r} on standard input; expected run or quit")
        run()
        elapsed = time_runs(run, runs) / runs
        elapsed -= min(calls, elapsed / 2)
        print(f"ns {max(1, round(elapsed / products))}", file=answers, flush=True)
