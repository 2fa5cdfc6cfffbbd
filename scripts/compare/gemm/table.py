"""The ratio table of scripts/compare-gemm, from its lines of JSON: pure, measures nothing."""

import json
import math
import re

import catalogue

# A shape is lost where the whole interval lies below this.
LOSS = 0.97
# Intervals wider than this, up or down, are marked.
WIDE = 0.05


# Cells are marked where more than this part of a peer's time was taken off as the cost of calling it.
MUCH = 0.1
# What every line of a pair holds; beside these, `failed`, or what was measured.
PAIR = {"format": str, "k": int, "n": int, "m": int, "state": str, "threads": int, "side": str, "work": str}
MEASURED = {
    "ratio": (int, float), "ours": str, "schedule": str, "label": str, "oursNanoseconds": (int, float), "peerNanoseconds": (int, float),
}  # fmt: skip
RUN = {"cpu": str, "cpus": int, "date": str, "load": (int, float), "wallclock": str, "command": str, "unset": list,
       "plugins": dict}  # fmt: skip


class BadResults(Exception):
    """A line that is none of compare-gemm's."""


def _expect(entry, fields):
    for name, kind in fields.items():
        if not isinstance(entry[name], kind):
            raise ValueError(f"{name} {entry[name]!r}")


def _parsed(line):
    entry = json.loads(line)
    if "run" in entry:
        _expect(entry["run"], RUN)
        return entry
    _expect(entry, PAIR)
    if entry["format"] not in catalogue.FORMATS:
        raise ValueError(f"format {entry['format']!r}")
    if "failed" in entry:
        _expect(entry, {"failed": str})
    else:
        _expect(entry, MEASURED)
        low, high = entry["interval"]
        if not 0 < low <= high < math.inf or not 0 < entry["ratio"] < math.inf:
            raise ValueError(f"ratio {entry['ratio']}, interval [{low}, {high}]")
    return entry


def read(path):
    """(runs, measured): what each run was, and the last line for each problem, thread count and side."""
    runs, sides = [], {}
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entry = _parsed(line)
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break  # what was being written when the machine went down
            raise BadResults(f"{path}:{number}: {error!r}; expected a line of compare-gemm") from None
        if "run" in entry:
            runs.append(entry["run"])
        else:
            sides[tuple(entry[name] for name in PAIR)] = entry
    return runs, list(sides.values())


def drop_torn_line(path):
    """Cuts off what follows the last whole line, so that the next begins anew."""
    with open(path, "ab+") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def summary(runs, entries):
    """What the table shows, as data: the best peer of each problem, means, losses, what failed and what there is not."""
    problems = {}
    for entry in entries:
        key = tuple(entry[name] for name in ("format", "threads", "k", "n", "m", "state"))
        problems.setdefault(key, []).append(entry)
    expected = {}
    for entry in entries:
        if entry["work"] == "same":
            expected.setdefault(entry["format"], set()).add(entry["side"])
    results = []
    for key, sides in problems.items():
        form, threads, k, n, m, state = key
        measured = sorted((s for s in sides if "failed" not in s), key=lambda s: s["ratio"])
        best = next((s for s in measured if s["work"] == "same"), None)
        results.append(
            {"format": form, "threads": threads, "k": k, "n": n, "m": m, "state": state, "best": best, "sides": measured,
             "missing": sorted(expected.get(form, set()) - {s["side"] for s in measured})}  # fmt: skip
        )
    results.sort(key=lambda r: (catalogue.FORMATS.index(r["format"]), r["threads"], r["k"] * r["n"], r["k"], r["m"], r["state"]))
    groups = {}
    for result in results:
        if result["best"]:
            groups.setdefault((result["format"], result["threads"]), []).append(result)
    means = [
        {
            "format": form,
            "threads": threads,
            "geometricMean": geometric_mean([r["best"]["ratio"] for r in group]),
            "problems": len(group),
            "losses": sum(is_loss(r["best"]) for r in group),
        }
        for (form, threads), group in groups.items()
    ]
    by_side, versions = {}, {}
    plugins = {name: version for run in runs for name, version in run["plugins"].items()}
    for entry in entries:
        if "failed" not in entry:
            by_side.setdefault((entry["side"], entry["format"], entry["threads"], entry["work"]), []).append(entry["ratio"])
            versions[entry["side"]] = plugins.get(entry["side"], entry["label"].partition(";")[0])
    formats = list(dict.fromkeys(r["format"] for r in results))
    return {
        "runs": runs,
        "problems": results,
        "means": means,
        "losses": [r for r in results if r["best"] and is_loss(r["best"])],
        "sides": [
            {"side": side, "format": form, "threads": threads, "work": work, "geometricMean": geometric_mean(ratios),
             "problems": len(ratios), "version": versions[side]}
            for (side, form, threads, work), ratios in sorted(by_side.items())
        ],  # fmt: skip
        "failures": [e for e in entries if "failed" in e],
        "lacking": [
            {"peer": peer, "format": form, "reason": reason}
            for form in formats
            for peer in catalogue.PEERS
            if (reason := catalogue.lacking(peer, form))
        ],
    }


def call_nanoseconds(side):
    """What was taken off the time of each product: side.py says so in its name."""
    said = re.search(r"; (\d+) ns of calls$", side["label"])
    # It takes off half of the time at most.
    return min(int(said[1]), side["peerNanoseconds"]) if said else 0


def is_loss(side):
    return side["interval"][1] < LOSS


def cell(result):
    best = result["best"]
    if best is None:
        return "none"
    low, high = best["interval"]
    text = f"{best['ratio']:.2f}" + ("*" if max(high / best["ratio"], best["ratio"] / low) > 1 + WIDE else "")
    if is_loss(best):
        text = f"**{text}**"
    schedule = "" if best["ours"] == "default" else "ᵗ"
    calls = call_nanoseconds(best)
    much = "°" if calls > MUCH * (best["peerNanoseconds"] + calls) else ""
    missing = "†" if result["missing"] else ""
    return f"{text}{schedule}{much}{missing} {best['side']}"


def rows(head, body):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(map(str, line)) + " |" for line in body]


def microseconds(nanoseconds):
    return f"{nanoseconds / 1000:.4g}"


def markdown(report):
    lines = ["# GEMM beside its peers", ""]
    for run in report["runs"][-1:]:
        lines += [
            f"{run['cpu']}, {run['cpus']} CPUs; {run['date']}, load {run['load']:.1f}; Wallclock {run['wallclock']}; "
            f"`{run['command']}`" + (f", {len(report['runs'])} runs." if len(report["runs"]) > 1 else "."),
            "Unset for every side: " + (", ".join(f"`{name}`" for name in run["unset"]) or "nothing") + ".",
            "",
        ]
    lines += [
        "Each cell: time of the best peer ÷ ours, both sampled in turn; above 1, Wallclock is faster. **Bold**: significantly below "
        f"{LOSS} (the whole 98 % interval). *: the interval reaches further than {WIDE:.0%}. ᵗ: our schedule is a tuned one, "
        f"elsewhere it is the default. °: the cost of calls taken off is more than {MUCH:.0%} of the peer's time. †: a peer "
        f"of the format gave no ratio here, failed or not sampled yet. c: weights from memory, rotated over copies on both sides; otherwise hot.",
        "",
    ]
    lines += rows(
        ["format", "threads", "geometric mean", "problems", "lost"],
        [[m["format"], m["threads"], f"{m['geometricMean']:.3f}", m["problems"], m["losses"]] for m in report["means"]],
    )
    for form, threads in dict.fromkeys((r["format"], r["threads"]) for r in report["problems"]):
        group = [r for r in report["problems"] if (r["format"], r["threads"]) == (form, threads)]
        columns = sorted({(r["m"], r["state"]) for r in group})
        shapes = list(dict.fromkeys((r["k"], r["n"]) for r in group))
        found = {(r["k"], r["n"], r["m"], r["state"]): cell(r) for r in group}
        lines += ["", f"## {form}, {threads} thread{'s' * (threads > 1)}", ""]
        lines += rows(
            ["K×N", *(f"M={m}{' c' if state == 'cold' else ''}" for m, state in columns)],
            [[f"{k}×{n}", *(found.get((k, n, *column), "–") for column in columns)] for k, n in shapes],
        )
    lines += ["", "## Lost", ""]
    lost = [
        [r["format"], r["threads"], f"{r['k']}×{r['n']}", f"{r['m']} {r['state']}", f"{s['ratio']:.3f}",
         f"{s['interval'][0]:.3f} to {s['interval'][1]:.3f}", microseconds(s["oursNanoseconds"]),
         microseconds(s["peerNanoseconds"]), microseconds(call_nanoseconds(s)), s["side"], f"{s['schedule']} ({s['ours']})"]
        for r in sorted(report["losses"], key=lambda r: r["best"]["ratio"])
        for s in [r["best"]]
    ]  # fmt: skip
    head = ["format", "threads", "K×N", "M", "ratio", "interval", "ours µs", "peer µs", "calls µs", "peer", "our schedule"]
    lines += rows(head, lost) if lost else ["None."]
    lines += ["", "## Each peer", ""]
    lines += rows(
        ["peer", "version", "format", "threads", "geometric mean", "problems", "work"],
        [[s["side"], s["version"], s["format"], s["threads"], f"{s['geometricMean']:.3f}", s["problems"],
          "the same" if s["work"] == "same" else f"not the same: {s['work']}; never best peer"] for s in report["sides"]],
    )  # fmt: skip
    if report["lacking"]:
        lines += ["", "## Not compared", ""]
        lines += rows(["peer", "format", "why"], [[x["peer"], x["format"], x["reason"]] for x in report["lacking"]])
    if report["failures"]:
        lines += ["", "## Failed", ""]
        seen = {}
        for failure in report["failures"]:
            seen.setdefault((failure["side"], failure["format"], failure["failed"]), []).append(failure)
        lines += rows(
            ["peer", "format", "problems", "why"],
            [[side, form, f"{len(group)}, e.g. m={group[0]['m']} n={group[0]['n']} k={group[0]['k']} "
              f"{group[0]['state']} {group[0]['threads']}T", why.replace("|", "\\|")]
             for (side, form, why), group in seen.items()],
        )  # fmt: skip
    return "\n".join(lines)
