"""Checks of scripts/compare-sequences, run by scripts/test-compare-gemm: problems, the table, definitions, refusing wrong outputs."""

import base64
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from common import measure, table
from sequences import catalogue, problem
from sequences.catalogue import SUBJECT
from sequences.problem import Problem

root = Path(__file__).resolve().parents[3]
SHAPES = root / "profiles/shapes/sequences.shapes"
FIXTURES = root / "Tests/WallclockKernelsTests/Fixtures"
RUN = {"run": {"cpu": "CPU", "cpus": 2, "date": "d", "load": 0.1, "wallclock": "9.9", "command": "c", "unset": [], "plugins": {}}}
FULL = "attention f32 batch=1 tokens=512 heads=12 head-dim=64 mask=full"
DECODE = "attention bf16 batch=1 tokens=1 context=4096 heads=16 kv-heads=4 head-dim=128 state=cold"
# One of each, small; {} is the tokens.
SMALL = [
    *(f"attention {form} batch=1 tokens={{}} heads=4 head-dim=32 mask={mask}" for form in ("f32", "bf16") for mask in ("full", "causal")),
    *(f"{op} batch=1 tokens={{}} heads=3 head-dim=64" for op in problem.RECURRENCES if op != "mamba2"),
    "mamba2 batch=1 tokens={} heads=4 head-dim=64 state=128", "mamba1 batch=1 tokens={} channels=40 state=16",
    "causal-conv1d batch=1 tokens={} channels=40 width=4 epilogue=silu", "long-conv batch=1 tokens={} channels=5",
]  # fmt: skip
DECODES = [f"attention {form} batch=1 tokens=1 context=96 heads=8 kv-heads={kv} head-dim=32" for form in ("f32", "bf16") for kv in (8, 2)]


def of(text):
    return Problem(text.split())


def line(text, side, ratio, spread=0.01, work="same", threads=1, **more):
    measured = {
        "ratio": ratio, "interval": [ratio - spread, ratio + spread], "ours": "default", "schedule": "s", "oursNanoseconds": 1e3,
        "peerNanoseconds": 1e3 * ratio, "samples": 9, "dropped": 0, "label": "l",
    }  # fmt: skip
    return {**of(text).fields(), "threads": threads, "side": side, "work": work, **(more or measured)}


class SequenceProblems(unittest.TestCase):
    def test_the_shapes_file_is_compared_whole(self):
        found = [of(text.partition("#")[0]) for text in SHAPES.read_text().splitlines() if text.partition("#")[0].strip()]
        self.assertEqual({p.op for p in found}, set(problem.OPS))
        for p in found:
            self.assertEqual(of(str(p)).fields(), p.fields())
            self.assertTrue(catalogue.sides(p, catalogue.PEERS, False), str(p))
            for peer in catalogue.PEERS:
                self.assertNotEqual(catalogue.lacking(peer, p.section), "not compared", f"{peer} {p}")

    def test_what_is_not_compared_is_refused(self):
        for text, words in [
            ("gemm m=1", "no op on sequences"), ("gla batch=1 tokens=4 heads=2", "head-dim"), ("gla batch=2 tokens=4 heads=2 head-dim=8", "batch=2"),
            ("gla bf16 batch=1 tokens=4 heads=2 head-dim=8", "expected f32"), (FULL + " mask=window:8", "mask=window:8"),
            ("mamba1 batch=1 tokens=4 channels=0 state=16", "channels=0"), ("attention w8a16", "w8a16"), (FULL + " channels=3", "channels=3"),
            ("attention f32 batch=1 tokens=4 heads=3 kv-heads=2 head-dim=8", "multiple"), (FULL + " context=9", "one token"),
            ("causal-conv1d batch=1 tokens=4 channels=8 width=4", "epilogue"), (FULL + " state=warm", "state=warm"),
        ]:  # fmt: skip
            with self.assertRaisesRegex(ValueError, words):
                of(text)

    def test_bench_is_told_sizes_and_where_operands_lie(self):
        words = " ".join(map(str, of("gla batch=1 tokens=4 heads=2 head-dim=8 state=16 state=cold").options()))
        self.assertEqual(words, "--op gla --batch 1 --tokens 4 --heads 2 --head-dim 8 --state 16 --kv-heads 2 --state cold")
        self.assertIn("--context 4096", " ".join(map(str, of(DECODE).options())))

    def test_cold_problems_rotate_over_more_than_four_times_the_last_level_cache(self):
        self.assertEqual(problem.copies(of(FULL)), 1)
        self.assertEqual(problem.operand_bytes(of(DECODE)), 8 * 16 * 128 + 2 * 4 * 4096 * 128 * 2)
        self.assertEqual(problem.operand_bytes(of("gla batch=1 tokens=2 heads=3 head-dim=8")), 4 * 2 * 3 * 8 * 5 + 8 * 3 * 64)
        for text in (DECODE, "rwkv7 batch=1 tokens=1 heads=12 head-dim=64 state=cold"):
            p = of(text)
            self.assertGreater(problem.copies(p) * problem.operand_bytes(p), 4 * measure.last_level_cache_bytes())

    def test_peers_are_told_the_problem_in_one_word(self):
        measurer = measure.Measurer("wallclock", "python3", None, 0.1, "side.py")
        self.addCleanup(measurer.close)
        side = next(s for s in catalogue.SIDES if s.name == "ggml:flash_attn_ext")
        self.assertIn(f"side.py ggml flash_attn_ext '{of(DECODE)}' ", measurer.command_of(side, of(DECODE), 2))


class SequenceTable(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="wallclock-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "results.jsonl"

    def summary(self, *lines):
        self.path.write_text("\n".join(map(json.dumps, (RUN, *lines))) + "\n")
        return table.summary(*table.read(self.path, SUBJECT), SUBJECT)

    def test_best_peers_means_and_losses_of_each_op(self):
        report = self.summary(line(FULL, "openvino:sdpa", 2), line(FULL, "pytorch:sdpa", 4), line(FULL.replace("512", "128"), "pytorch:sdpa", 0.5),
                              line(DECODE, "ggml:flash_attn_ext", 3), line(DECODE, "ggml:flash_attn_ext", 5, threads=2))
        self.assertEqual({(m["op"], m["threads"]): (round(m["geometricMean"], 9), m["losses"]) for m in report["means"]},
                         {("attention f32 full", 1): (1, 1), ("attention bf16 decode", 1): (3, 0), ("attention bf16 decode", 2): (5, 0)})
        text = table.markdown(report, SUBJECT)
        self.assertIn("| sizes | T=128 | T=512 |\n|---|---|---|\n| 12×64 | **0.50**† pytorch:sdpa | 2.00 openvino:sdpa |", text)
        self.assertIn("| sizes | 4096 keys c |\n|---|---|\n| 16/4×128 | 3.00 ggml:flash_attn_ext |", text)
        self.assertIn("| onnxruntime | attention bf16 decode | its CPU provider has no bf16 attention |", text)

    def test_failures_and_other_work_are_apart(self):
        report = self.summary(line(FULL, "openvino:sdpa", 1, failed="WrongResult: o"), line(FULL, "pytorch:sdpa-bf16-in-out", 0.4, work="bf16"))
        self.assertIsNone(report["problems"][0]["best"])
        self.assertIn("1, e.g. f32 batch=1 tokens=512 heads=12 head-dim=64 mask=full state=hot 1T | WrongResult: o |", table.markdown(report, SUBJECT))

    def test_lines_of_other_problems_are_refused(self):
        self.path.write_text(json.dumps({**line(FULL, "openvino:sdpa", 1), "problem": "gemm f32 m=1"}) + "\n\n")
        with self.assertRaisesRegex(table.BadResults, "results.jsonl:1:.*compare-sequences"):
            table.read(self.path, SUBJECT)

    def test_command(self):
        self.summary(line(FULL, "openvino:sdpa", 1.25))
        def command(*words):
            return subprocess.run([root / "scripts/compare-sequences", *map(str, words)], capture_output=True, text=True, timeout=60)
        self.assertIn("1.25 openvino:sdpa", command("--table", self.path).stdout)
        bad = self.folder / "bad.shapes"
        bad.write_text("# sizes\ngla batch=1 tokens=4\n")
        for words, status, said in [(("--shapes", bad), 65, "bad.shapes:2:"), (("--ops", "gemm"), 64, "invalid choice"),
                                    (("--quick", "--ops", "gla", "--peers", "openvino"), 64, "no peer"),
                                    (("--table", self.folder / "none"), 66, "cannot read")]:
            done = command(*words, "--threads", "1")
            self.assertEqual((done.returncode, said in done.stderr), (status, True), done.stderr)


class SequenceOutputs(unittest.TestCase):
    """Definitions and checks, where there is a NumPy; peers' results, where there are peers."""

    @classmethod
    def setUpClass(cls):
        try:
            global np, operands
            import numpy as np
            from sequences import operands
        except ImportError:
            raise unittest.SkipTest("this Python has no NumPy; run it with the Python that scripts/peers names")

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="wallclock-test-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def close(self, found, right, what):
        right = np.asarray(right).reshape(found.shape)
        self.assertLess(np.linalg.norm(found - right), 1e-9 * np.linalg.norm(right), what)

    def test_definitions_are_those_of_the_fixtures(self):
        """Made by scripts/fixtures with PyTorch in float64."""
        def decoded(text, kind):
            return np.frombuffer(base64.b64decode(text), kind)
        for case in json.loads((FIXTURES / "recurrences.json").read_text()):
            p = of(f"{case['op']} batch=1 tokens={case['tokens']} heads=1 head-dim={case['dv']} state={case['dk']}")
            x = operands.Operands(p)
            if p.op != "linear-attention":  # which is not scaled
                self.assertAlmostEqual(x.scale, case["scale"], 6)
                x.scale = case["scale"]
            given = {**case["operands"], "log_decay": [case["log_decay"]], "skip": [case["skip"]]}
            x.update({name: np.array(given[name], np.float32).reshape(value.shape) for name, value in x.items()})
            for name, found in operands.recurrence(p, x, np.array([0])).items():
                self.close(found, case["expected"][name], f"{p.op} {name}")
        for case in json.loads((FIXTURES / "attention.json").read_text())["cases"]:
            if case["mask"] not in problem.MASKS or case["tokens"] not in (1, case["keys"]):
                continue
            context = f"context={case['keys']}" if case["tokens"] == 1 else ""
            p = of(f"attention batch=1 tokens={case['tokens']} {context} heads={case['heads']} kv-heads={case['kvHeads']} "
                   f"head-dim={case['headDim']} mask={case['mask']}")
            x = operands.Operands(p)
            x.update({name: decoded(case[name], "<f4").reshape(value.shape) for name, value in x.items()})
            found = operands.attention(p, x, np.arange(p.heads), np.arange(p.tokens))
            self.close(found["o"], decoded(case["o"], "<f8"), str(p))
        names = {"deltaBias": "bias", "start": "state"}
        for case in json.loads((FIXTURES / "sequences.json").read_text())["cases"]:
            if case["op"] in ("rwkv4", "s4d"):
                continue  # no peer is compared with these
            sizes = {"states": "state"}
            words = [f"{sizes.get(name, name)}={value}" for name, value in case["sizes"].items()]
            p = of(" ".join([case["op"], "batch=1", *words] + ["epilogue=silu"] * (case["op"] == "causal-conv1d")))
            x = operands.Operands(p)
            given = {names.get(name, name): decoded(value, "<f4") for name, value in case["inputs"].items()}
            x.update({name: given[name].reshape(value.shape) for name, value in x.items()})
            results = {names.get(name, name): value for name, value in case["results"].items()}
            for name, found in operands.expected(p, x, (np.arange(p.channels),)).items():
                self.close(found, decoded(results["end" if name == "state" else name], "<f8"), f"{p} {name}")

    def test_right_outputs_pass_and_wrong_ones_do_not(self):
        for i, text in enumerate([*(text.format(8) for text in SMALL), *DECODES]):
            p = of(text)
            x, folder = operands.Operands(p), self.folder / str(i)
            folder.mkdir()
            every = np.arange(p.size.get("heads", p.size.get("channels")))
            right = operands.expected(p, x, (every, np.arange(p.tokens)) if p.op == "attention" else (every,))
            self.assertLess(operands.check(p, right, x, folder), 1e-3)
            for name in right:
                for wrong in (np.nan, 1e3):
                    spoiled = {key: value.copy() for key, value in right.items()}
                    spoiled[name].flat[0] += wrong
                    with self.assertRaisesRegex(operands.WrongResult, f"{name} ", msg=text):
                        operands.check(p, spoiled, x, folder)

    def test_a_mask_that_is_left_out_is_noticed(self):
        p = of(FULL.replace("full", "causal").replace("512", "16"))
        x = operands.Operands(p)
        whole = operands.attention(of(FULL.replace("512", "16")), x, np.arange(p.heads), np.arange(p.tokens))
        with self.assertRaises(operands.WrongResult):
            operands.check(p, whole, x, self.folder)

    def test_peers_that_are_installed_compute_each_op(self):
        checked = set()
        for i, text in enumerate([*(text.format(t) for text in SMALL for t in (128, 1)), *DECODES]):
            for state, threads in (("hot", 1), ("cold", 2)):
                p = of(f"{text} state={state}")
                x, folder = operands.Operands(p), self.folder / f"{i}-{state}"
                folder.mkdir()
                for side in catalogue.sides(p, catalogue.PEERS, True):
                    if side.variant == "compiled":
                        continue  # minutes of a compiler
                    try:
                        module = importlib.import_module(f"sequences.peer_{side.peer}")
                        made = module.Product(side.variant, p, x, 3 if state == "cold" else 1, threads)
                    except ImportError:
                        continue
                    made.run()
                    self.assertLessEqual(operands.check(p, made.outputs(), x, folder), 1, f"{side.name} {p}")
                    checked.add(side.peer)
        if not checked:
            self.skipTest("this Python has no peer; run it with the Python that scripts/peers --gemm names")
        print(f"computed by {', '.join(sorted(checked))}", file=sys.stderr)
