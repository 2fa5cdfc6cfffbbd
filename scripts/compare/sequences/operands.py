"""Operands of one op on sequences, what its definition makes of them in f64, and how far a peer may be from that.

Arrays are f32: q, k [T, key heads, dk], v [T, heads, dv], decays in logarithms, states [heads, dk, dv] or [channels, N], rows
[T, channels]. Values are spread as those that `wallclock bench` makes, so that a recurrence run on its own state stays bounded.
"""

import os
from pathlib import Path

import numpy as np

# Largest Frobenius error beside the norm of the result. f32: sums of thousands of terms in any order, exponentials within a few
# units. bf16: queries, keys and values come rounded (so does the definition's), products of weights are rounded once more.
ALLOWED = {"f32": 1e-4, "bf16": 1e-2}
# Heads, channels and queries that are compared; the rest must be finite.
MOST_HEADS = 4
MOST_CHANNELS = 64
MOST_QUERIES = 128


class WrongResult(Exception):
    """A peer's output is further from the definition than its types explain."""


def to_bf16(values):
    """Rounded to nearest even, kept as f32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def _some(count, most):
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


class Operands(dict):
    """By name; `scale` is what queries are multiplied by."""

    def __init__(self, problem):
        self.rng = np.random.default_rng(7)
        p = problem
        if p.op == "attention":
            self.scale = p.head_dim**-0.5
            self._add("q", (p.tokens, p.heads, p.head_dim))
            self._add("k", (p.keys, p.kv_heads, p.head_dim))
            self._add("v", (p.keys, p.kv_heads, p.head_dim))
        elif "heads" in p.size:
            self._recurrence(p)
        else:
            self._channels(p)

    def _normal(self, shape, scale=1.0):
        return self.rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    def _add(self, name, shape, scale=1.0, change=None):
        values = self._normal(shape, scale)
        self[name] = np.ascontiguousarray(change(values) if change else values, np.float32)

    def _recurrence(self, p):
        op, t, heads, dk, dv = p.op, p.tokens, p.heads, p.states, p.head_dim
        unit = max(1, dk) ** -0.5
        self.scale = 1.0 if op in ("linear-attention", "mamba2", "rwkv6", "rwkv7") else unit
        self._add("q", (t, p.kv_heads, dk))
        self._add("k", (t, p.kv_heads, dk), 1 if op == "linear-attention" else unit)
        self._add("v", (t, heads, dv))
        self._add("state", (heads, dk, dv), 0.5)
        if op in ("gla", "rwkv6", "rwkv7"):
            self._add("decay", (t, heads, dk), 0.2, lambda x: -np.minimum(0.6, np.abs(x)))
        if op == "gated-delta-net":
            self._add("decay", (t, heads), 0.2, lambda x: -np.minimum(0.6, np.abs(x)))
        if op in ("delta-net", "gated-delta-net", "mamba2"):
            self._add("rate", (t, heads), 0.05 if op == "mamba2" else 0.5, lambda x: np.clip(np.abs(x), 1e-4, 1))
        if op == "rwkv7":
            self._add("a", (t, heads, dk), unit)
            self["b"] = -0.5 * self["a"]
        if op == "rwkv6":
            self._add("bonus", (heads, dk), 0.5)
        if op == "linear-attention":
            self._add("z", (heads, dk), 1, np.abs)
        if op == "retention":  # γ = 1 − 2^(−5−h)
            self["log_decay"] = np.log1p(-np.exp2(-5.0 - np.arange(heads) % 8)).astype(np.float32)
        if op == "mamba2":
            self["log_decay"] = -(1.0 + np.arange(heads) % 16).astype(np.float32)
            self._add("skip", (heads,))

    def _channels(self, p):
        t, channels = p.tokens, p.channels
        if p.op == "mamba1":
            n = p.states
            for name in ("u", "z"):
                self._add(name, (t, channels))
            self._add("delta", (t, channels), 0.5)
            self._add("b", (t, n))
            self._add("c", (t, n))
            self._add("state", (channels, n))
            self["a"] = np.tile(-np.arange(1, n + 1, dtype=np.float32), (channels, 1))
            self._add("bias", (channels,), 0.5, lambda x: x - 2)
            self._add("skip", (channels,))
        elif p.op == "causal-conv1d":
            self._add("x", (t, channels))
            self._add("weight", (channels, p.width), 0.5)
            self._add("bias", (channels,), 0.5)
            self._add("state", (channels, p.width - 1))
        else:
            self._add("x", (t, channels))
            fade = (1 - 0.9 * np.arange(t, dtype=np.float32) / t)[:, None]
            self._add("taps", (t, channels), 1, lambda x: x * fade)
            self._add("skip", (channels,))


def softplus(x):
    return np.logaddexp(0, x)


def silu(x):
    return x / (1 + np.exp(-x))


def attention(p, x, heads, queries):
    """o [queries, heads, d]."""
    narrow = to_bf16 if p.format == "bf16" else lambda values: values
    o = np.empty((len(queries), len(heads), p.head_dim))
    for i, head in enumerate(heads):
        shared = head // (p.heads // p.kv_heads)
        q = narrow(x["q"][queries, head]).astype(np.float64)
        k, v = (narrow(x[name][:, shared]).astype(np.float64) for name in "kv")
        scores = x.scale * (q @ k.T)
        if p.mask == "causal":
            position = queries[:, None] + p.keys - p.tokens
            scores = np.where(np.arange(p.keys)[None] <= position, scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        o[:, i] = weights @ v / weights.sum(axis=1, keepdims=True)
    return {"o": o}


def recurrence(p, x, heads):
    """o [T, heads, dv], state [heads, dk, dv], and z [heads, dk] of linear attention: token by token."""
    op = p.op
    shared = heads // (p.heads // p.kv_heads)
    q, k = (x[name][:, shared].astype(np.float64) for name in "qk")
    v, s = x["v"][:, heads].astype(np.float64), x["state"][heads].astype(np.float64)
    rate = x["rate"][:, heads].astype(np.float64) if "rate" in x else None
    q = q * x.scale
    decays = np.ones((p.tokens, len(heads), 1))
    if "log_decay" in x:
        per_head = x["log_decay"][heads].astype(np.float64)
        decays = np.exp((rate if op == "mamba2" else 1.0) * np.broadcast_to(per_head, (p.tokens, len(heads))))[:, :, None]
    elif "decay" in x:
        decays = np.exp(x["decay"][:, heads].astype(np.float64).reshape(p.tokens, len(heads), -1))
    if op == "linear-attention":
        q, k = (np.where(y > 0, y + 1, np.exp(np.minimum(y, 0))) for y in (q, k))
        z = x["z"][heads].astype(np.float64)
    o = np.empty((p.tokens, len(heads), p.head_dim))
    for t in range(p.tokens):
        key, value = k[t], v[t]
        if op == "rwkv6":
            o[t] = np.einsum("hk,hkv->hv", q[t], s + (x["bonus"][heads] * key)[:, :, None] * value[:, None])
        if op == "rwkv7":
            read = np.einsum("hk,hkv->hv", x["a"][t, heads].astype(np.float64), s)
        s = s * decays[t][:, :, None]
        if "delta" in op:
            value = rate[t][:, None] * (value - np.einsum("hk,hkv->hv", key, s))
        if op == "mamba2":
            value = rate[t][:, None] * value
        s = s + key[:, :, None] * value[:, None]
        if op == "rwkv7":
            s = s + x["b"][t, heads][:, :, None] * read[:, None]
        if op != "rwkv6":
            o[t] = np.einsum("hk,hkv->hv", q[t], s)
        if op == "mamba2":
            o[t] += x["skip"][heads][:, None] * v[t]
        if op == "linear-attention":
            z = z + key
            o[t] /= np.einsum("hk,hk->h", q[t], z)[:, None] + 1e-6
    return {"o": o, "state": s, **({"z": z} if op == "linear-attention" else {})}


def mamba1(p, x, channels):
    f64 = {name: value.astype(np.float64) for name, value in x.items()}
    step = softplus(f64["delta"][:, channels] + f64["bias"][channels])
    u, z, a, s = f64["u"][:, channels], f64["z"][:, channels], f64["a"][channels], f64["state"][channels]
    y = np.empty((p.tokens, len(channels)))
    for t in range(p.tokens):
        s = np.exp(step[t][:, None] * a) * s + (step[t] * u[t])[:, None] * f64["b"][t]
        y[t] = s @ f64["c"][t] + f64["skip"][channels] * u[t]
    return {"y": y * silu(z), "state": s}


def causal_conv1d(p, x, channels):
    f64 = {name: value.astype(np.float64) for name, value in x.items()}
    rows = np.concatenate([f64["state"][channels].T, f64["x"][:, channels]])
    y = sum(f64["weight"][channels, i] * rows[i : i + p.tokens] for i in range(p.width)) + f64["bias"][channels]
    return {"y": silu(y), "state": rows[p.tokens :].T}


def long_conv(p, x, channels):
    inputs, taps = (x[name][:, channels].astype(np.float64) for name in ("x", "taps"))
    n = 2 * p.tokens
    y = np.fft.irfft(np.fft.rfft(inputs, n, axis=0) * np.fft.rfft(taps, n, axis=0), n, axis=0)[: p.tokens]
    return {"y": y + x["skip"][channels] * inputs}


def _checked(problem):
    """What the definition is asked for, and by result the part of a peer's that is compared with it."""
    p = problem
    if p.op == "attention":
        heads, queries = _some(p.heads, MOST_HEADS), _some(p.tokens, MOST_QUERIES)
        return (heads, queries), {"o": np.ix_(queries, heads)}
    if "heads" in p.size:
        heads = _some(p.heads, MOST_HEADS)
        return (heads,), {"o": (slice(None), heads), "state": heads, "z": heads}
    channels = _some(p.channels, MOST_CHANNELS)
    return (channels,), {"y": (slice(None), channels), "state": channels}


def expected(problem, x, asked):
    ops = {"attention": attention, "mamba1": mamba1, "causal-conv1d": causal_conv1d, "long-conv": long_conv}
    return ops.get(problem.op, recurrence)(problem, x, *asked)


def _stored(problem, x, asked, folder):
    """The definition's results, made once for all sides of a problem."""
    path = Path(folder, "expected.npz")
    if not path.exists():
        part = path.with_name(f"{os.getpid()}.part.npz")
        np.savez(part, **expected(problem, x, asked))
        os.replace(part, path)
    with np.load(path) as file:
        return dict(file)


def check(problem, outputs, x, folder):
    """The largest error of any result beside what is allowed; raises WrongResult above 1.

    - outputs: all that the definition has, by name.
    """
    asked, parts = _checked(problem)
    worst = 0.0
    for name, right in _stored(problem, x, asked, folder).items():
        if not np.isfinite(outputs[name]).all():
            raise WrongResult(f"{problem.op}: {name} has values that are not finite")
        found = outputs[name][parts[name]].astype(np.float64)
        if found.shape != right.shape:
            raise WrongResult(f"{problem.op}: {name} has shape {found.shape}; expected {right.shape}")
        error = np.linalg.norm(found - right) / (np.linalg.norm(right) + 1e-30)
        if not error <= ALLOWED[problem.format]:
            raise WrongResult(
                f"{problem.op}: {name} is {error:.2g} of its norm from the definition in f64; at most "
                f"{ALLOWED[problem.format]:g} is allowed"
            )
        worst = max(worst, error / ALLOWED[problem.format])
    return float(worst)
