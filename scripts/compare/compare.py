"""Wallclock against ONNX Runtime on one sentence encoder; see scripts/compare-peers.

Each side is a process driven over a pipe, one sample at a time. Between its samples a side is stopped
(SIGSTOP), so that its spinning threads take nothing from the other.
"""

import argparse
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

SENTENCE = "A man is eating food."
VARIANTS = ("masked", "unmasked", "fused")
PAIRS = (("f32", "f32"), ("w8a8", "int8"))  # Wallclock's format, ONNX Runtime's precision


def say(text):
    print(text, file=sys.stderr, flush=True)


class Side:
    """One runtime in a process of its own, stopped whenever it is not asked for a sample."""

    def __init__(self, command):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.name = self._answer("ready")
        self._signal(signal.SIGSTOP)

    def _signal(self, number):
        self.process.send_signal(number)

    def _answer(self, word):
        line = self.process.stdout.readline()
        kind, _, rest = line.rstrip("\n").partition(" ")
        if kind != word:
            self.process.kill()
            sys.exit(f"compare-peers: expected '{word} …' from {self.command}, got {line!r}")
        return rest

    def _send(self, line):
        self._signal(signal.SIGCONT)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def sample(self):
        """One pass, in nanoseconds as the side's own clock saw it."""
        self._send("run")
        elapsed = int(self._answer("ns"))
        self._signal(signal.SIGSTOP)
        return elapsed

    def embed(self, text):
        self._send(f"embed {text}")
        vector = json.loads(self.process.stdout.readline())
        self._signal(signal.SIGSTOP)
        return vector

    def close(self):
        try:
            self._send("quit")
            self.process.stdin.close()
            self.process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


def median_interval(values):
    """The 95 % interval of the median by order statistics: free of any assumption on the spread."""
    ordered = sorted(values)
    n = len(ordered)
    tail, rank = 0.0, -1
    for k in range(n // 2):
        tail += math.comb(n, k) / 2**n
        if tail > 0.025:
            break
        rank = k
    return [ordered[max(rank, 0)], ordered[n - 1 - max(rank, 0)]]


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


class Comparison:
    def __init__(self, options):
        self.options = options

    def onnx(self, precision, threads, variant):
        o = self.options
        side = Path(__file__).with_name("onnx_side.py")
        model = Path(o.onnx, f"{variant}.{precision}.onnx")
        sizes = [str(v) for v in (threads, o.batch, o.tokens)]
        return Side([sys.executable, str(side), str(model), str(Path(o.model, "tokenizer.json")), *sizes])

    def fastest_onnx(self, precision, threads):
        """The variant with the best of a few interleaved samples; ONNX Runtime at its best is compared."""
        sides = {v: self.onnx(precision, threads, v) for v in VARIANTS}
        best = dict.fromkeys(VARIANTS, math.inf)
        for _ in range(self.options.trials + 1):
            for variant, side in sides.items():
                best[variant] = min(best[variant], side.sample())
        winner = min(best, key=best.get)
        for variant, side in sides.items():
            if variant != winner:
                side.close()
        return winner, sides[winner], {v: t / 1e6 for v, t in best.items()}

    def wallclock(self, form, threads):
        o = self.options
        return Side(
            [o.wallclock, "run", o.model, "--format", form, "--threads", str(threads)]
            + ["--tokens", str(o.tokens), "--batch", str(o.batch), "--samples-over-pipe"]
        )

    def wallclock_embedding(self, form, threads):
        command = [self.options.wallclock, "run", self.options.model, "--format", form]
        command += ["--threads", str(threads), "--text", SENTENCE, "--json"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output)["embeddings"][0]

    def measure(self, ours, theirs):
        """Paired samples, the order turned in every pair, until enough or out of time."""
        pairs = []
        for _ in range(5):
            ours.sample(), theirs.sample()
        end = time.monotonic() + self.options.seconds
        while len(pairs) < self.options.pairs and (time.monotonic() < end or len(pairs) < 20):
            if len(pairs) % 2:
                b, a = theirs.sample(), ours.sample()
            else:
                a, b = ours.sample(), theirs.sample()
            pairs.append((a, b))
        return pairs

    def row(self, form, precision, threads):
        say(f"{form} against onnxruntime {precision}, {threads} thread{'s' * (threads > 1)}")
        variant, theirs, trials = self.fastest_onnx(precision, threads)
        ours = self.wallclock(form, threads)
        pairs = self.measure(ours, theirs)
        similarity = cosine(self.wallclock_embedding(form, threads), theirs.embed(SENTENCE))
        ours.close()
        theirs.close()
        ratios = [b / a for a, b in pairs]
        return {
            "threads": threads,
            "format": form,
            "peer": f"{theirs.name} {precision} ({variant})",
            "wallclockMilliseconds": statistics.median(a for a, _ in pairs) / 1e6,
            "peerMilliseconds": statistics.median(b for _, b in pairs) / 1e6,
            "ratio": statistics.median(ratios),
            "interval": median_interval(ratios),
            "samples": len(pairs),
            "cosine": similarity,
            "peerVariantsMilliseconds": trials,
        }


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def table(rows):
    head = ["threads", "format", "Wallclock ms", "peer ms", "ratio", "95 % interval", "samples", "cosine", "peer"]
    cells = [head]
    for r in rows:
        low, high = r["interval"]
        cells.append([str(r["threads"]), r["format"], f"{r['wallclockMilliseconds']:.2f}"])
        cells[-1] += [f"{r['peerMilliseconds']:.2f}", f"{r['ratio']:.3f}", f"{low:.3f} to {high:.3f}"]
        cells[-1] += [str(r["samples"]), f"{r['cosine']:.5f}", r["peer"]]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells)


def main():
    parser = argparse.ArgumentParser()
    for name in ("wallclock", "model", "onnx"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--threads", type=int, nargs="+", required=True)
    for name in ("batch", "tokens", "pairs", "trials"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--json", action="store_true")
    comparison = Comparison(parser.parse_args())
    options = comparison.options
    rows = [comparison.row(*pair, threads) for threads in options.threads for pair in PAIRS]
    report = {
        "wallclock": subprocess.run([options.wallclock, "--version"], check=True, stdout=subprocess.PIPE, text=True)
        .stdout.strip(),
        "model": Path(options.model).name,
        "batch": options.batch,
        "tokens": options.tokens,
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "loadAverage": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
        "results": rows,
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{report['model']}, batch {options.batch} × {options.tokens} tokens; {report['cpu']},", end=" ")
    print(f"{report['cpus']} CPUs, load {report['loadAverage']:.1f}; {report['date']}; Wallclock {report['wallclock']}")
    print(table(rows))
    print("ratio: peer time / Wallclock time, the median over pairs; above 1, Wallclock is faster.")


main()
