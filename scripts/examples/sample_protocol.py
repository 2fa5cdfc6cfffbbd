"""The program's side of Wallclock's sample protocol, version 1; see scripts/README.md.

Call `serve(name, work)`: `work` does once what is to be timed. Standard output belongs to the protocol, so
anything else that prints there (a library's banner, say) is sent to standard error.
"""

import os
import sys
import time


def serve(name, work, warm_up=3):
    """Answers each `run` with the nanoseconds one call of `work` took, until `quit` or the end of input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for _ in range(warm_up):
        work()
    print(f"ready {name}", file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        if line.strip() != "run":
            sys.exit(f"{name}: {line!r} on standard input; expected run or quit")
        begin = time.perf_counter_ns()
        work()
        elapsed = time.perf_counter_ns() - begin
        print(f"ns {max(1, elapsed)}", file=answers, flush=True)
