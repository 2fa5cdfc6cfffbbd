"""One side of a comparison of GEMMs: a peer's product of one problem, driven by the sample protocol (see scripts/README.md).

usage: side.py PEER VARIANT FORMAT M N K hot|cold COPIES THREADS FOLDER

The output is checked against the product in f64 before anything is timed; a wrong one ends the program. A sample is a run
untimed, which brings operands and threads back to where they were before the other side's turn, and then as many runs as take
SAMPLE_NANOSECONDS. What calling the library from Python costs is measured on a product of next to nothing (1×32×32, in
groups of 128 1×128×32) and taken off, in the peer's favour, up to half of the time.
"""

import contextlib
import gc
import importlib
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


def call_nanoseconds(module, variant, form, operands, threads):
    """What a call costs beside the work."""
    small = operands.Operands(form, 1, 32, max(32, operands.group_size(form) or 0), FOLDER)
    run = module.Product(variant, small, 1, threads).run
    time_runs(run, 20)
    return min(time_runs(run, 50) / 50 for _ in range(5))


def prepare(peer, variant, form, sizes, copies, threads):
    """The product, checked, and nanoseconds of calling that are in each run of it."""
    operands = importlib.import_module("operands")
    module = importlib.import_module(f"peer_{peer}")
    data = operands.Operands(form, *sizes, FOLDER)
    product = module.Product(variant, data, copies, threads)
    product.run()
    product.tolerance_used = data.check(product.output(), **product.checks)
    calls = product.calls * call_nanoseconds(module, variant, form, operands, threads) if product.calls else 0
    return product, calls


def main():
    answers = claim_output()
    peer, variant, form, *sizes, state, copies, threads = sys.argv[1:-1]
    cpus = use_cores(int(threads))
    try:
        copies = int(copies) if state == "cold" else 1
        product, calls = prepare(peer, variant, form, [int(size) for size in sizes], copies, int(threads))
    except Exception as error:  # a library may raise anything: its first line is the reason this side is left out
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


FOLDER = sys.argv[-1]
main()
