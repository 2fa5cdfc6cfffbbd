"""Runs Kernel Tuner's strategies on measured spaces and counts evaluations as `wallclock tune --replay` does.

usage: kernel_tuner_side.py SEEDS BUDGET[,BUDGET...] SECONDS WORKERS STRATEGY... -- FILE...
Prints a JSON line per file, strategy and budget:
{"file", "strategy", "budget", "evaluationsTo97": [...], "outOfTime": RUNS, "problem"}.

Strategies run through kernel_tuner.tune_kernel in simulation mode with its defaults. A file is parsed once and
not for every seed. Its space is built from the legal points it lists, anew for every run, as tune_kernel does: a
Searchspace keeps the neighbours that were asked for and offers those first, so a run on a used one is led to
where earlier runs went (simulated annealing then needs as little as a third of the evaluations). A run ends with
the evaluation that reaches 97 % of the best, so nothing else of it is changed. As in Kernel Tuner's own budget,
asking for a configuration outside the space costs nothing; a legal one that fails counts, and one seen before
does not count again.
"""
import contextlib, gzip, io, json, multiprocessing, random, sys, time, warnings

import numpy

with contextlib.redirect_stdout(io.StringIO()):
    from kernel_tuner import interface
    from kernel_tuner.runners import simulation
    from kernel_tuner.searchspace import Searchspace

warnings.filterwarnings("ignore")
GOAL = 0.97


class Finished(Exception):
    """A run has reached the goal, or the end of its budget."""


class OutOfTime(Finished):
    """A run took longer than it may."""


def read(path):
    """A cache file, plain or gzip; with the last braces put back where Kernel Tuner was stopped."""
    with open(path, "rb") as file:
        data = file.read()
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return json.loads(text.rstrip().rstrip(",") + "}}")


def time_of(entry):
    value = entry["time"]
    return value if isinstance(value, (int, float)) and 0 < value < 1e20 else None


class Simulation:
    """One file, ready to be searched any number of times."""

    def __init__(self, path):
        self.path = path
        self.content = read(path)
        self.cache = self.content["cache"]
        names = self.content["tune_params_keys"]
        self.parameters = {name: self.content["tune_params"][name] for name in names}
        self.goal = min(time for time in map(time_of, self.cache.values()) if time) / GOAL
        for entry in self.cache.values():
            if time_of(entry) is None:
                entry["__error__"] = entry["time"]

    def run(self, strategy, seed, budget, seconds):
        """Evaluations until the goal, or None, and whether time ended the run."""
        random.seed(seed)
        numpy.random.seed(seed)
        seen, calls, found, start = set(), 0, None, time.monotonic()
        original = simulation.SimulationRunner.run

        def counting(runner, configurations, options):
            nonlocal calls, found
            results = []
            for configuration in configurations:
                calls += 1
                # A strategy that only asks for what it has seen never ends by itself.
                if calls > 200 * budget:
                    raise Finished
                if time.monotonic() - start > seconds:
                    raise OutOfTime
                key = ",".join(map(str, configuration))
                if key in self.cache and key not in seen:
                    seen.add(key)
                    value = time_of(self.cache[key])
                    if value is not None and value <= self.goal:
                        found = len(seen)
                        raise Finished
                    if len(seen) >= budget:
                        raise Finished
                results += original(runner, [configuration], options)
            return results

        interface.util.process_cache = lambda *_, **__: self.cache
        interface.util.close_cache = lambda *_, **__: None
        space = Searchspace(None, None, None, from_cache={"tune_params": self.parameters, "cache": self.cache})
        interface.Searchspace = lambda *_, **__: space
        simulation.SimulationRunner.run = counting
        sizes = self.content.get("problem_size", [1])
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                interface.tune_kernel(
                    self.content["kernel_name"], "", tuple(sizes) if isinstance(sizes, list) else sizes, [],
                    self.parameters, strategy=strategy, strategy_options={"max_fevals": budget},
                    simulation_mode=True, cache=self.path, quiet=True)
        except Finished as end:
            return found, isinstance(end, OutOfTime)
        finally:
            simulation.SimulationRunner.run = original
        return found, False


def compare(job):
    path, strategy, seeds, budget, seconds = job
    counts, late, problem = [], 0, None
    try:
        simulated = Simulation(path)
        for seed in range(seeds):
            count, is_late = simulated.run(strategy, seed, budget, seconds)
            counts.append(count)
            late += is_late
    except Exception as error:  # a strategy whose library is not there, or that cannot take this space
        problem = f"{type(error).__name__}: {error}"[:200]
    return {"file": path, "strategy": strategy, "budget": budget, "evaluationsTo97": counts, "outOfTime": late,
            "problem": problem}


def main():
    seeds, seconds, workers = int(sys.argv[1]), float(sys.argv[3]), int(sys.argv[4])
    budgets = [int(word) for word in sys.argv[2].split(",")]
    split = sys.argv.index("--")
    strategies = sys.argv[5:split] or [
        name for name in interface.strategy_map if name not in ("brute_force", "nsga2", "nsga3")]
    jobs = [(path, name, seeds, budget, seconds) for path in sys.argv[split + 1:] for name in strategies
            for budget in budgets]
    with multiprocessing.Pool(workers) as pool:
        for result in pool.imap(compare, jobs):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
