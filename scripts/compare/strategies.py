"""The table of scripts/compare-strategies: lines of kernel_tuner_side.py and replays of wallclock.

usage: strategies.py WALLCLOCK_LINES KERNEL_TUNER_LINES [--json]
"""
import json, statistics, sys


def median(counts):
    """Runs that did not get there count as more than any; None when half did not."""
    value = statistics.median([float("inf") if count is None else count for count in counts] or [float("inf")])
    return None if value == float("inf") else value


def main():
    with open(sys.argv[1]) as file:
        own = [json.loads(line) for line in file]
    with open(sys.argv[2]) as file:
        peers = [json.loads(line) for line in file]
    report = []
    for path in dict.fromkeys(line["file"] for line in own):
        rows = [{"program": "wallclock", "strategy": line["strategy"], "median": line["median"],
                 "found": line["found"], "seeds": line["seeds"]} for line in own if line["file"] == path]
        chance = next(line["random"] for line in own if line["file"] == path)
        rows.append({"program": "wallclock", "strategy": "random", "median": chance["median"],
                     "found": chance["found"], "seeds": len(chance["evaluationsTo97"])})
        for line in peers:
            if line["file"] == path:
                counts = line["evaluationsTo97"]
                rows.append({"program": "kernel_tuner", "strategy": line["strategy"], "median": median(counts),
                             "found": sum(count is not None for count in counts), "seeds": len(counts),
                             "budget": line["budget"], "outOfTime": line["outOfTime"], "problem": line["problem"]})
        rows.sort(key=lambda row: (row["median"] is None, row["median"]))
        report.append({"file": path, "rows": rows})
    if "--json" in sys.argv:
        json.dump(report, sys.stdout, indent=1)
        print()
        return
    for space in report:
        chance = next(row["median"] for row in space["rows"] if row["strategy"] == "random")
        print(f"\n{space['file']}\n{'program':14}{'strategy':26}{'budget':>7}{'median':>8}{'of random':>11}  found")
        for row in space["rows"]:
            if row.get("problem"):
                print(f"{row['program']:14}{row['strategy']:26}{row['budget']:>7}       –             {row['problem']}")
                continue
            value = "–" if row["median"] is None else f"{row['median']:g}"
            ratio = "–" if row["median"] is None or not chance else f"{row['median'] / chance:.3f}"
            late = f", {row['outOfTime']} out of time" if row.get("outOfTime") else ""
            print(f"{row['program']:14}{row['strategy']:26}{row.get('budget', ''):>7}{value:>8}{ratio:>11}  "
                  f"{row['found']}/{row['seeds']}{late}")


if __name__ == "__main__":
    main()
