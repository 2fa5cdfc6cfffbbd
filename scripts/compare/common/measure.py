"""Samples Wallclock and one peer in turn, problem by problem; each pair is a line of JSON.

A problem has `fields()` (what its lines hold), `options()` (what names it to `wallclock bench compare`), `side_arguments()`
(what names it to a side.py, after peer and variant) and `operands_key` (problems that share it share operands on disk).
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What decides a library's kernels behind its back; every side runs without.
UNSET = (
    "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_VERBOSE", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS",
    "OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY", "GOMP_SPINCOUNT", "KMP_AFFINITY", "KMP_BLOCKTIME",
    "MKL_NUM_THREADS", "MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY", "PYTHONPATH", "WALLCLOCK_FAULTS",
)  # fmt: skip
# Seconds a side may take to get ready: packing is part of that.
PATIENCE = 300
CONFIDENCE_MARGIN = "0.01"
# Of the machine, not of the side: sampled again by the next run.
PASSING = ("were preempted", "interrupted")


class Failure(Exception):
    """A pair that gave no ratio."""


def last_level_cache_bytes():
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    sizes = [p.read_text().strip() for p in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(s[:-1]) * units[s[-1]] if s[-1] in units else int(s) for s in sizes), default=8 << 20)


def exit_reason(done):
    """The side's own last words before the program's, which says only that the side is gone."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    words = [line for line in lines if line.startswith("side.py: ")]
    reason = words[-1].removeprefix("side.py: ") if words else lines[-1] if lines else f"exit status {done.returncode}"
    return reason.removeprefix("wallclock: error: ")[:400]


class Measurer:
    """Runs `wallclock bench compare` for one pair after another.

    - side_program: the side.py that drives peers; plugins: those that are backends of Wallclock instead.
    """

    def __init__(self, program, python, backends, seconds, side_program, plugins=()):
        self.program, self.python, self.seconds = program, python, seconds
        self.side_program, self.plugins = side_program, plugins
        self.operands = tempfile.TemporaryDirectory(prefix="wallclock-compare-")
        self.environment = {k: v for k, v in os.environ.items() if k not in UNSET}
        self.unset = [name for name in UNSET if name in os.environ]
        # The sides' NumPy only makes and checks operands.
        self.python_side = f"exec env OPENBLAS_NUM_THREADS=1 {shlex.quote(str(python))}"
        if backends:
            self.environment["WALLCLOCK_BACKEND_PATH"] = str(backends)
        self.kept = None

    def close(self):
        self.operands.cleanup()

    def command_of(self, side, problem, threads):
        if side.peer in self.plugins:
            return side.peer
        words = [self.side_program, side.peer, side.variant, *problem.side_arguments(), threads, self.operands.name]
        words = list(map(str, words))
        return f"exec:{self.python_side} {shlex.join(words)}"

    def compare(self, ours, side, problem, threads):
        words = [self.program, "bench", "compare", ours, self.command_of(side, problem, threads)]
        words += [*problem.options(), "--threads", threads, "--min-time", self.seconds, "--margin", CONFIDENCE_MARGIN, "--precision", "0.02"]
        words += ["--timeout", PATIENCE, "--json"]
        child = subprocess.Popen(
            list(map(str, words)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment,
        )  # fmt: skip
        try:
            out, err = child.communicate()
        except BaseException:
            child.send_signal(signal.SIGINT)
            child.communicate()
            raise
        done = subprocess.CompletedProcess(words, child.returncode, out, err)
        if done.returncode != 0:
            raise Failure(exit_reason(done))
        return json.loads(done.stdout)

    def pair(self, side, problem, threads):
        """One line of results. Ours is the tuned schedule where the host's profile has one, else the default."""
        self._drop_operands_of_others(problem)
        entry = {**problem.fields(), "threads": threads, "side": side.name, "work": side.work}
        ours = "tuned"
        try:
            try:
                report = self.compare(ours, side, problem, threads)
            except Failure as failure:
                if "has no schedule for" not in str(failure) and "no profile" not in str(failure):
                    raise
                ours = "default"
                report = self.compare(ours, side, problem, threads)
        except Failure as failure:
            return {**entry, "failed": str(failure)}
        low, high = report["interval"]
        # bench compare says ours over theirs.
        return {
            **entry, "ratio": 1 / report["ratio"], "interval": [1 / high, 1 / low], "ours": ours,
            "schedule": report["a"], "label": report["b"], "oursNanoseconds": report["aNanoseconds"],
            "peerNanoseconds": report["bNanoseconds"], "samples": report["samples"], "dropped": report["dropped"],
        }  # fmt: skip

    def _drop_operands_of_others(self, problem):
        """Those of all would fill the disk."""
        if self.kept != problem.operands_key:
            for path in Path(self.operands.name).iterdir():
                path.unlink()
            self.kept = problem.operands_key

    def _versions(self):
        """The versions of the backends that Wallclock finds, by name."""
        done = subprocess.run(
            [self.program, "host", "--no-ceilings", "--json"], check=True, stdout=subprocess.PIPE, text=True, env=self.environment
        )  # fmt: skip
        return {x["name"]: x["version"] for x in json.loads(done.stdout)["backends"] if x.get("state") == "ready"}

    def description(self, command):
        version = subprocess.run([self.program, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        model = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith(("model name", "CPU part"))]
        return {
            "wallclock": version, "cpu": model[0].partition(":")[2].strip() if model else "unknown CPU",
            "cpus": len(os.sched_getaffinity(0)), "date": time.strftime("%Y-%m-%d %H:%M"), "load": os.getloadavg()[0],
            "command": command, "secondsPerPair": self.seconds, "unset": self.unset, "plugins": self._versions(),
        }  # fmt: skip


def is_passing(entry):
    return any(words in entry.get("failed", "") for words in PASSING)


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(measurer, work, known, file, limit, command):
    """Measures what `known` lacks, a line each as soon as it is there. Returns how many pairs are left."""
    names = [*work[0][1].fields(), "threads", "side"] if work else []
    key = lambda e: tuple(e[name] for name in names)
    have = {key(e) for e in known if not is_passing(e)}
    todo = [w for w in work if key({**w[1].fields(), "threads": w[2], "side": w[0].name}) not in have]
    print(json.dumps({"run": measurer.description(command)}), file=file, flush=True)
    begin = time.monotonic()
    for i, (side, problem, threads) in enumerate(todo[:limit]):
        entry = measurer.pair(side, problem, threads)
        print(json.dumps(entry), file=file, flush=True)
        os.fsync(file.fileno())
        result = entry.get("failed") or f"{entry['ratio']:.3f} [{entry['interval'][0]:.3f}, {entry['interval'][1]:.3f}]"
        left = (time.monotonic() - begin) / (i + 1) * (len(todo[:limit]) - i - 1)
        say(f"{i + 1}/{len(todo[:limit])}, {left / 60:.0f} min left: {problem}, {threads}T, {side.name}: {result}")
    return max(0, len(todo) - limit)
