"""An op on sequences that is compared, named as a line of a .shapes file: its sizes, its place in the table, its copies."""

import re

from common.measure import last_level_cache_bytes

RECURRENCES = ("linear-attention", "retention", "gla", "rwkv6", "rwkv7", "delta-net", "gated-delta-net", "mamba2")
OPS = ("attention", *RECURRENCES, "mamba1", "causal-conv1d", "long-conv")
FORMATS = ("f32", "bf16")
MASKS = ("full", "causal")
# The sizes of each op; those in brackets may be left out.
SIZES = {
    "attention": ("batch", "tokens", "(context)", "heads", "(kv-heads)", "head-dim"),
    **{op: ("batch", "tokens", "heads", "(kv-heads)", "head-dim", "(state)") for op in RECURRENCES},
    "mamba1": ("batch", "tokens", "channels", "state"),
    "causal-conv1d": ("batch", "tokens", "channels", "width"),
    "long-conv": ("batch", "tokens", "channels"),
}
FORM = "OP [f32|bf16] batch=1 tokens=T …, as `wallclock bench --shapes` takes it"


class Problem:
    """Raises ValueError, saying what was expected, where the words name no problem that is compared."""

    FIELDS = {"problem": str}

    def __init__(self, words):
        self.op, *rest = words or [""]
        if self.op not in OPS:
            raise ValueError(f"{self.op!r} is no op on sequences; expected one of {', '.join(OPS)}")
        self.format, self.mask, self.epilogue, self.state, self.size = "f32", "full", "", "hot", {}
        for word in rest:
            self._set(*word.partition("=")[::2])
        self._check()

    def _set(self, name, value):
        kinds = {"mask": MASKS, "epilogue": ("", "silu"), "state": ("hot", "cold")}
        if not value and name in FORMATS:
            self.format = name
        elif name == "state" and value.isdigit() or name not in kinds:
            if name not in {x.strip("()") for x in SIZES[self.op]} or not re.fullmatch(r"[1-9]\d{0,6}", value):
                raise ValueError(f"{name}={value}; expected sizes {' '.join(SIZES[self.op])}, each a whole number above 0")
            self.size[name] = int(value)
        elif value in kinds[name]:
            setattr(self, name, value)
        else:
            raise ValueError(f"{name}={value}; expected one of {', '.join(filter(None, kinds[name]))}")

    def _check(self):
        s = self.size
        missing = [x for x in SIZES[self.op] if x not in s and not x.startswith("(")]
        if missing:
            raise ValueError(f"{self.op} without {missing[0]}=…; expected {' '.join(SIZES[self.op])}")
        if self.op in RECURRENCES:
            s.setdefault("kv-heads", 1 if self.op == "mamba2" else s["heads"])
            s.setdefault("state", s["head-dim"])
        if s["batch"] != 1:
            raise ValueError(f"batch={s['batch']}; expected 1: batches are not compared")
        if "heads" in s and s["heads"] % self.kv_heads:
            raise ValueError(f"heads={s['heads']} kv-heads={self.kv_heads}; expected a multiple")
        if self.op != "attention" and (self.format != "f32" or self.mask != "full"):
            raise ValueError(f"{self.op} in {self.format}, mask={self.mask}; expected f32 and no mask")
        if self.op in RECURRENCES and self.op != "mamba2" and self.kv_heads != s["heads"]:
            raise ValueError(f"kv-heads={self.kv_heads}; expected as many as heads: shared keys are compared for mamba2 alone")
        if (self.op == "causal-conv1d") != (self.epilogue == "silu"):
            raise ValueError(f"{self.op} with epilogue {self.epilogue or 'none'}; expected silu, of causal-conv1d alone")
        if self.op == "attention" and "context" in s and s["tokens"] != 1:
            raise ValueError(f"context={s['context']} tokens={s['tokens']}; expected one token beside a cache")

    @classmethod
    def of(cls, entry):
        return cls(entry["problem"].split())

    def fields(self):
        return {"problem": str(self)}

    def __str__(self):
        words = [self.op, self.format, *(f"{x}={self.size[x]}" for x in map(self._plain, SIZES[self.op]) if x in self.size)]
        words += [f"epilogue={self.epilogue}"] if self.epilogue else []
        words += [f"mask={self.mask}"] if self.op == "attention" else []
        return " ".join([*words, f"state={self.state}"])

    @staticmethod
    def _plain(name):
        return name.strip("()")

    def __getattr__(self, name):
        """`problem.head_dim` and the like."""
        size = self.__dict__.get("size", {})
        plain = name.replace("_", "-")
        if plain not in size:
            raise AttributeError(name)
        return size[plain]

    @property
    def kv_heads(self):
        return self.size.get("kv-heads", self.size.get("heads"))

    @property
    def states(self):
        """Rows of a recurrence's state, or values for each channel."""
        return self.size["state"]

    @property
    def is_decode(self):
        return self.size["tokens"] == 1 and self.op != "long-conv"

    @property
    def keys(self):
        return self.size.get("context", self.size["tokens"])

    def smallest(self):
        """Of the same kind, but next to no work: what calling a library costs shows."""
        small = {"tokens": 1, "context": 1, "heads": 1, "kv-heads": 1, "head-dim": 32, "state": 16, "channels": 32}
        if self.op in RECURRENCES and self.op != "mamba2":
            small["state"] = 32
        made = Problem(str(self).split())
        made.size = {name: min(value, small.get(name, value)) for name, value in self.size.items()}
        made.state = "hot"
        return made

    # For bench compare and side.py

    def options(self):
        words = ["--op", self.op]
        for name, value in self.size.items():
            words += [f"--{name}", value]
        if self.op == "attention":
            words += ["--types", self.format, "--mask", self.mask]
        if self.epilogue:
            words += ["--epilogue", self.epilogue]
        return [*words, "--state", self.state]

    def side_arguments(self):
        return [str(self), copies(self)]

    @property
    def operands_key(self):
        return str(self)

    # For the table

    @property
    def section(self):
        phase = "decode" if self.is_decode else "prefill"
        if self.op == "attention":
            return f"attention {self.format} {'decode' if self.is_decode else self.mask}"
        return self.op if self.op == "long-conv" else f"{self.op} {phase}"

    @property
    def order(self):
        widths = [self.size.get(name, 0) for name in ("heads", "channels", "head-dim", "kv-heads", "state", "tokens", "context")]
        return OPS.index(self.op), self.is_decode, self.format != "f32", self.mask, self.state, *widths[:5], *widths[5:]

    @property
    def row(self):
        s = self.size
        if self.op == "attention":
            return f"{s['heads']}{f'/{self.kv_heads}' if self.kv_heads != s['heads'] else ''}×{s['head-dim']}"
        if self.op in RECURRENCES:
            return f"{s['heads']}×{s['head-dim']}" + (f", N={s['state']}" if s["state"] != s["head-dim"] else "")
        return f"{s['channels']}" + (f", N={s['state']}" if self.op == "mamba1" else f", {s['width']} taps" if "width" in s else "")

    @property
    def column(self):
        cold = " c" if self.state == "cold" else ""
        if "context" in self.size:
            return (self.keys, self.state), f"{self.keys} keys{cold}"
        return (self.size["tokens"], self.state), f"T={self.size['tokens']}{cold}"

    @property
    def sizes(self):
        return str(self).partition(" ")[2]


def operand_bytes(problem):
    """What one run reads and writes at least, by the rule of Wallclock itself."""
    p, s = problem, problem.size
    if p.op == "attention":
        rows = s["tokens"] * s["head-dim"]
        if "context" not in s:
            return 8 * rows * (s["heads"] + p.kv_heads)
        return 8 * rows * s["heads"] + 2 * p.kv_heads * p.keys * s["head-dim"] * (4 if p.format == "f32" else 2)
    if p.op in RECURRENCES:
        heads, dk, dv = s["heads"], p.states, s["head-dim"]
        token = 2 * p.kv_heads * dk + 2 * heads * dv
        token += heads * dk * (p.op in ("gla", "rwkv6", "rwkv7")) + 2 * heads * dk * (p.op == "rwkv7")
        token += heads * (p.op in ("delta-net", "gated-delta-net", "mamba2")) + heads * (p.op == "gated-delta-net")
        return 4 * s["tokens"] * token + 8 * heads * dk * dv
    rows, channels = s["tokens"], s["channels"]
    if p.op == "mamba1":
        n = p.states
        return 16 * rows * channels + 8 * rows * n + 4 * channels * (n + 2) + 8 * channels * n
    if p.op == "long-conv":
        return 16 * rows * channels + 4 * channels
    return 8 * rows * channels + 4 * channels * (s["width"] + 1) + 8 * channels * (s["width"] - 1)


def copies(problem):
    """Sets of operands that both sides rotate over: together more than four times the last-level cache where cold."""
    if problem.state == "hot":
        return 1
    target = 4 * max(last_level_cache_bytes(), 8 << 20)
    return max(2, min(4096, target // operand_bytes(problem) + 1))
