"""What scripts/compare-gemm and scripts/compare-sequences have in common: flags, results that are gone on with, the table."""

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from common import measure, table

root = Path(__file__).resolve().parents[3]


def whole(text):
    if not re.fullmatch(r"[1-9]\d{0,6}", text):
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number of at least 1")
    return int(text)


def seconds(text):
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not 0 < float(text) <= 600:
        raise argparse.ArgumentTypeError(f"{text!r}; expected seconds, above 0 and at most 600")
    return float(text)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(self.script, 64, f"{message}; see --help")


def parser(script, description, epilog):
    made = Parser(
        prog=f"scripts/{script}", description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.script = script
    return made


def add_common(add, peers):
    """The flags after those that choose problems."""
    add("--peers", nargs="+", choices=peers, default=peers, metavar="P", help="of " + ", ".join(peers))
    add("--threads", action="append", type=whole, metavar="N", help="may be given more than once (default: 1 and 2)")
    add("--state", choices=["hot", "cold"], help="instead of the file's")
    add("--seconds", type=seconds, default=1.0, metavar="S", help="to sample a pair at most (default 1)")
    add("--unlike", action="store_true", help="also ways that do other work (integers alone, other types); listed apart")
    add("--limit", type=whole, default=10**9, metavar="N", help="stop after N pairs")
    add("--resume", type=Path, metavar="FILE", help="go on with the results in FILE; made where there is none")
    add("--table", type=Path, metavar="FILE", help="measure nothing: the table of these results")
    add("--json", action="store_true", help="JSON on stdout instead of Markdown")


def fail(script, status, text):
    print(f"{script}: {text}", file=sys.stderr)
    sys.exit(status)


def lines_of(script, path):
    """(number, words) of each line of a .shapes file that says something."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(script, 66, f"cannot read {path}: {error}")
    lines = [(number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1)]
    found = [(number, words) for number, words in lines if words]
    if not found:
        fail(script, 65, f"{path} names no problem")
    return found


def run_script(script, name, *arguments):
    """The last line that another script prints, and its status."""
    done = subprocess.run([str(root / "scripts" / name), *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 69):
        fail(script, done.returncode, f"scripts/{name} failed")
    return done.stdout.strip().split("\n")[-1], done.returncode


def peers_python(script):
    python, status = run_script(script, "peers", "--gemm")
    if status:
        fail(script, 69, "scripts/peers could not set up the peers")
    return python


def wallclock():
    program = Path(os.environ.get("WALLCLOCK", root / ".build/release/wallclock"))
    if not program.exists():
        subprocess.run(["swift", "build", "-c", "release", "--product", "wallclock"], cwd=root, check=True, stdout=sys.stderr)
    return program


def _results_file(options, kind):
    if options.resume:
        return options.resume
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wallclock/peers"
    cache.mkdir(parents=True, exist_ok=True)
    return cache / time.strftime(f"{kind}-%Y%m%d-%H%M%S.jsonl")


def show(subject, path, as_json):
    try:
        report = table.summary(*table.read(path, subject), subject)
    except (OSError, UnicodeDecodeError) as error:
        fail(subject.script, 66, f"cannot read {path}: {error}")
    except table.BadResults as error:
        fail(subject.script, 65, str(error))
    if not report["problems"]:
        fail(subject.script, 65, f"{path} holds no results")
    print(json.dumps(report, indent=1) if as_json else table.markdown(report, subject))


def main(subject, options, problems, sides, measurer_of):
    """Measures what the results lack and shows the table; or, with --table, shows it.

    - problems(): those asked for; sides(problem): what each is sampled beside; measurer_of(): sets up what measures them.
    """
    script = subject.script
    if options.table:
        return show(subject, options.table, options.json)
    threads = options.threads or [1, 2]
    cores = len(os.sched_getaffinity(0))
    if max(threads) > cores:
        fail(script, 64, f"--threads {max(threads)}: this process has {cores} CPUs")
    work = [(side, problem, t) for problem in problems() for t in threads for side in sides(problem)]
    if not work:
        fail(script, 64, "no peer among those asked for computes any of these problems")
    path = _results_file(options, script.removeprefix("compare-"))
    known = []
    if path.exists() and path.stat().st_size:
        try:
            known = table.read(path, subject)[1]
        except (OSError, UnicodeDecodeError, table.BadResults) as error:
            fail(script, 65, str(error))
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        fail(script, 73, f"cannot write {path}")
    measurer = measurer_of()
    measure.say(f"{script}: {len(work)} pairs; results in {path}")
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    status = 0
    try:
        table.drop_torn_line(path)
        with open(path, "a", encoding="utf-8") as file:
            command = shlex.join([f"scripts/{script}", *sys.argv[1:]])
            left = measure.run(measurer, work, known, file, options.limit, command)
        if left:
            measure.say(f"{script}: {left} pairs left; go on with --resume {path}")
    except KeyboardInterrupt:
        measure.say(f"{script}: interrupted; go on with --resume {path}")
        status = 130
    finally:
        measurer.close()
    show(subject, path, options.json)
    sys.exit(status)
