"""The table of ratios of a script that compares with peers, from its lines of JSON: pure, measures nothing."""

import json
import math
import re

# A shape is lost where the whole interval lies below this.
LOSS = 0.97
# Intervals wider than this, up or down, are marked.
WIDE = 0.05


# Cells are marked where more than this part of a peer's time was taken off as the cost of calling it.
MUCH = 0.1
# What every line of a pair holds; beside these, `failed`, or what was measured.
PAIR = {"threads": int, "side": str, "work": str}
MEASURED = {
    "ratio": (int, float), "ours": str, "schedule": str, "label": str, "oursNanoseconds": (int, float), "peerNanoseconds": (int, float),
}  # fmt: skip
RUN = {"cpu": str, "cpus": int, "date": str, "load": (int, float), "wallclock": str, "command": str, "unset": list,
       "plugins": dict}  # fmt: skip


class Subject:
    """What a script compares.

    - script: its name; title: of the table.
    - problem: the class of its problems. It has FIELDS, names and types of what names one in a line of results; of(entry), which
      raises ValueError where they name none; and for the table section, row, column (what columns are in order by, and a head),
      order (of problems) and sizes (for an example).
    - section, row: the heads of what problems' sections and rows are.
    - marks: what to say of the columns beside the rest.
    - peers: all there are; lacking(peer, section): why a peer has no side there, or None.
    """

    def __init__(self, script, title, problem, section, row, marks, peers, lacking):
        self.script, self.title, self.problem, self.section, self.row = script, title, problem, section, row
        self.marks, self.peers, self.lacking = marks, peers, lacking


class BadResults(Exception):
    """A line that is none of the script's."""


def _expect(entry, fields):
    for name, kind in fields.items():
        if not isinstance(entry[name], kind):
            raise ValueError(f"{name} {entry[name]!r}")


def _parsed(line, subject):
    entry = json.loads(line)
    if "run" in entry:
        _expect(entry["run"], RUN)
        return entry
    _expect(entry, {**subject.problem.FIELDS, **PAIR})
    subject.problem.of(entry)
    if "failed" in entry:
        _expect(entry, {"failed": str})
    else:
        _expect(entry, MEASURED)
        low, high = entry["interval"]
        if not 0 < low <= high < math.inf or not 0 < entry["ratio"] < math.inf:
            raise ValueError(f"ratio {entry['ratio']}, interval [{low}, {high}]")
    return entry


def read(path, subject):
    """(runs, measured): what each run was, and the last line for each problem, thread count and side."""
    runs, sides = [], {}
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            entry = _parsed(line, subject)
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break  # what was being written when the machine went down
            raise BadResults(f"{path}:{number}: {error!r}; expected a line of {subject.script}") from None
        if "run" in entry:
            runs.append(entry["run"])
        else:
            sides[tuple(entry[name] for name in (*subject.problem.FIELDS, *PAIR))] = entry
    return runs, list(sides.values())


def drop_torn_line(path):
    """Cuts off what follows the last whole line, so that the next begins anew."""
    with open(path, "ab+") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def summary(runs, entries, subject):
    """What the table shows, as data: the best peer of each problem, means, losses, what failed and what there is not."""
    fields = list(subject.problem.FIELDS)
    problems, expected = {}, {}
    for entry in entries:
        problem = subject.problem.of(entry)
        group = problems.setdefault((entry["threads"], *(entry[name] for name in fields)), (problem, []))
        group[1].append(entry)
        if entry["work"] == "same":
            expected.setdefault(problem.section, set()).add(entry["side"])
    results = []
    for (threads, *_), (problem, sides) in problems.items():
        measured = sorted((s for s in sides if "failed" not in s), key=lambda s: s["ratio"])
        best = next((s for s in measured if s["work"] == "same"), None)
        missing = sorted(expected.get(problem.section, set()) - {s["side"] for s in measured})
        named = {subject.section: problem.section, "threads": threads, **problem.fields()}
        results.append({**named, "best": best, "sides": measured, "missing": missing})
    order = {section: i for i, section in enumerate(_sections(results, subject))}
    results.sort(key=lambda r: (order[r[subject.section]], r["threads"], subject.problem.of(r).order))
    groups = {}
    for result in results:
        if result["best"]:
            groups.setdefault((result[subject.section], result["threads"]), []).append(result)
    means = [
        {
            subject.section: section,
            "threads": threads,
            "geometricMean": geometric_mean([r["best"]["ratio"] for r in group]),
            "problems": len(group),
            "losses": sum(is_loss(r["best"]) for r in group),
        }
        for (section, threads), group in groups.items()
    ]
    by_side, versions = {}, {}
    plugins = {name: version for run in runs for name, version in run["plugins"].items()}
    for entry in entries:
        if "failed" not in entry:
            key = (entry["side"], subject.problem.of(entry).section, entry["threads"], entry["work"])
            by_side.setdefault(key, []).append(entry["ratio"])
            versions[entry["side"]] = plugins.get(entry["side"], entry["label"].partition(";")[0])
    return {
        "runs": runs,
        "problems": results,
        "means": means,
        "losses": [r for r in results if r["best"] and is_loss(r["best"])],
        "sides": [
            {"side": side, subject.section: section, "threads": threads, "work": work, "geometricMean": geometric_mean(ratios),
             "problems": len(ratios), "version": versions[side]}
            for (side, section, threads, work), ratios in sorted(by_side.items())
        ],  # fmt: skip
        "failures": [e for e in entries if "failed" in e],
        "lacking": [
            {"peer": peer, subject.section: section, "reason": reason}
            for section in order
            for peer in subject.peers
            if (reason := subject.lacking(peer, section))
        ],
    }


def _sections(results, subject):
    """In the order of their first problems."""
    first = {}
    for result in results:
        order, section = subject.problem.of(result).order, result[subject.section]
        first[section] = min(order, first.get(section, order))
    return sorted(first, key=first.get)


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


def markdown(report, subject):
    section_of, problem_of = subject.section, subject.problem.of
    lines = [f"# {subject.title}", ""]
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
        f"of the {section_of} gave no ratio here, failed or not sampled yet. {subject.marks}",
        "",
    ]
    lines += rows(
        [section_of, "threads", "geometric mean", "problems", "lost"],
        [[m[section_of], m["threads"], f"{m['geometricMean']:.3f}", m["problems"], m["losses"]] for m in report["means"]],
    )
    for section, threads in dict.fromkeys((r[section_of], r["threads"]) for r in report["problems"]):
        group = [(problem_of(r), r) for r in report["problems"] if (r[section_of], r["threads"]) == (section, threads)]
        columns = sorted({p.column for p, _ in group})
        found = {(p.row, p.column): cell(r) for p, r in group}
        lines += ["", f"## {section}, {threads} thread{'s' * (threads > 1)}", ""]
        lines += rows(
            [subject.row, *(head for _, head in columns)],
            [[row, *(found.get((row, column), "–") for column in columns)] for row in dict.fromkeys(p.row for p, _ in group)],
        )
    lines += ["", "## Lost", ""]
    lost = [
        [r[section_of], r["threads"], problem_of(r).row, problem_of(r).column[1], f"{s['ratio']:.3f}",
         f"{s['interval'][0]:.3f} to {s['interval'][1]:.3f}", microseconds(s["oursNanoseconds"]),
         microseconds(s["peerNanoseconds"]), microseconds(call_nanoseconds(s)), s["side"], f"{s['schedule']} ({s['ours']})"]
        for r in sorted(report["losses"], key=lambda r: r["best"]["ratio"])
        for s in [r["best"]]
    ]  # fmt: skip
    head = [section_of, "threads", subject.row, "", "ratio", "interval", "ours µs", "peer µs", "calls µs", "peer", "our schedule"]
    lines += rows(head, lost) if lost else ["None."]
    lines += ["", "## Each peer", ""]
    lines += rows(
        ["peer", "version", section_of, "threads", "geometric mean", "problems", "work"],
        [[s["side"], s["version"], s[section_of], s["threads"], f"{s['geometricMean']:.3f}", s["problems"],
          "the same" if s["work"] == "same" else f"not the same: {s['work']}; never best peer"] for s in report["sides"]],
    )  # fmt: skip
    if report["lacking"]:
        lines += ["", "## Not compared", ""]
        lines += rows(["peer", section_of, "why"], [[x["peer"], x[section_of], x["reason"]] for x in report["lacking"]])
    if report["failures"]:
        lines += ["", "## Failed", ""]
        seen = {}
        for failure in report["failures"]:
            seen.setdefault((failure["side"], problem_of(failure).section, failure["failed"]), []).append(failure)
        lines += rows(
            ["peer", section_of, "problems", "why"],
            [[side, section, f"{len(group)}, e.g. {problem_of(group[0]).sizes} {group[0]['threads']}T", why.replace("|", "\\|")]
             for (side, section, why), group in seen.items()],
        )  # fmt: skip
    return "\n".join(lines)
