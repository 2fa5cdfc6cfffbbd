"""A GEMM that is compared: its sizes, how `wallclock` and side.py are told of it, and where the table shows it."""

from common.measure import last_level_cache_bytes
from gemm import catalogue


def weight_bytes(form, n, k):
    """Bytes that one set of weights takes, with its scales."""
    if form in ("f32", "bf16"):
        return n * k * (4 if form == "f32" else 2)
    group = int(form.partition("-g")[2] or k)
    return n * k * (8 if form.startswith("w8") else 4) // 8 + 4 * n * (k // group)


def copies(problem):
    """Sets of weights that a cold problem rotates over, by the rule of Wallclock itself: over four times the last-level cache."""
    target = 4 * max(last_level_cache_bytes(), 8 << 20)
    return max(2, min(4096, target // weight_bytes(problem.format, problem.n, problem.k) + 1))


class Problem:
    FIELDS = {"format": str, "m": int, "n": int, "k": int, "state": str}

    def __init__(self, form, m, n, k, state):
        if form not in catalogue.FORMATS:
            raise ValueError(f"format {form!r}")
        self.format, self.m, self.n, self.k, self.state = form, m, n, k, state

    @classmethod
    def of(cls, entry):
        return cls(*(entry[name] for name in cls.FIELDS))

    def fields(self):
        return {name: getattr(self, name) for name in self.FIELDS}

    def __str__(self):
        return f"gemm {self.format} m={self.m} n={self.n} k={self.k} state={self.state}"

    def options(self):
        return ["--op", "gemm", "--types", self.format, "--m", self.m, "--n", self.n, "--k", self.k, "--state", self.state]

    def side_arguments(self):
        return [self.format, self.m, self.n, self.k, self.state, copies(self)]

    @property
    def operands_key(self):
        """Weights of one shape at a time: a grid's would fill the disk."""
        return self.n, self.k

    @property
    def section(self):
        return self.format

    @property
    def order(self):
        return catalogue.FORMATS.index(self.format), self.k * self.n, self.k, self.m, self.state

    @property
    def row(self):
        return f"{self.k}×{self.n}"

    @property
    def column(self):
        """What columns are in order by, and its head."""
        return (self.m, self.state), f"M={self.m}{' c' if self.state == 'cold' else ''}"

    @property
    def sizes(self):
        return f"m={self.m} n={self.n} k={self.k} {self.state}"
