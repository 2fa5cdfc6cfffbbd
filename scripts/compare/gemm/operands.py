"""Operands of one GEMM problem, the product in f64, and how far a peer's output may be from it.

C[M,N] = A[M,K] · W[N,K]ᵀ, f32 in and out. Every peer gets the same values: weights are quantised here, symmetric, to the grid
of the format, with scales that f16 holds exactly, so that a library which stores them so changes nothing.
"""

import os
from pathlib import Path

import numpy as np

# Unit round-offs.
F32, BF16 = 2.0**-24, 2.0**-8

# Whole outputs are checked up to this many products, columns spread over N beyond it.
WHOLE_PRODUCTS = 1 << 28
SOME_COLUMNS = 256


class WrongResult(Exception):
    """A peer's output is further from the product than its number formats explain."""


def group_size(form):
    return int(form.partition("-g")[2]) if "-g" in form else None


def to_bf16(values):
    """Rounded to nearest even, kept as f32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def _scales(peak, largest):
    return np.maximum(peak / largest, 2.0**-14).astype(np.float16).astype(np.float32)


def _quantised(w, form):
    """(codes s8[N,K], scales f32[N,G]) of a w8 or w4 format."""
    n, k = w.shape
    group = group_size(form) or k
    if k % group:
        raise ValueError(f"{form}: K={k} is not a multiple of the group size {group}")
    blocks = w.reshape(n, k // group, group)
    largest = 127 if form.startswith("w8") else 7
    scales = _scales(np.abs(blocks).max(axis=2), largest)
    codes = np.clip(np.rint(blocks / scales[:, :, None]), -largest - (largest == 7), largest).astype(np.int8)
    return codes.reshape(n, k), scales


def variation(array, i):
    """The i-th of the copies that a cold problem rotates over; the 0th is the array. Four values differ in each: some
    libraries keep one of equal weights (ONNX Runtime packs them once), and the caches would hold it."""
    array = np.array(array)
    if i:
        array.reshape(-1)[:4] = [i // 15**place % 15 - 7 for place in range(4)]
    return array


class Operands:
    """A and W of one problem. `weights` f32[N,K] holds the very values that quantised codes stand for."""

    def __init__(self, form, m, n, k, cache):
        self.form, self.m, self.n, self.k = form, m, n, k
        self.group = group_size(form)
        rng = np.random.default_rng(7)
        self.a = rng.standard_normal((m, k), dtype=np.float32)
        self.codes = self.scales = None
        store = Path(cache, f"{form}-{n}-{k}")
        if form in ("f32", "bf16"):
            (self.weights,) = self._stored(store, lambda: [self._plain(form, n, k)])
        else:
            self.codes, self.scales = self._stored(store, lambda: _quantised(self._plain("f32", n, k), form))
            self.weights = None

    @staticmethod
    def _plain(form, n, k):
        w = np.random.default_rng(11).standard_normal((n, k), dtype=np.float32) / np.float32(k**0.5)
        return to_bf16(w) if form == "bf16" else w

    @staticmethod
    def _stored(store, make):
        """Arrays made once for all sides of a problem, then mapped."""
        paths = [store.with_suffix(f".{i}.npy") for i in range(2)]
        if not paths[0].exists():
            for path, array in reversed(list(zip(paths, make()))):
                part = path.with_suffix(f".{os.getpid()}.part")
                with open(part, "wb") as file:
                    np.save(file, array)
                os.replace(part, path)
        return [np.load(path, mmap_mode="r") for path in paths if path.exists()]

    def _rows_of_weights(self, columns):
        """The values of W[columns, :] in f64."""
        if self.codes is None:
            return np.asarray(self.weights[columns], np.float64)
        codes = np.asarray(self.codes[columns], np.float64)
        scales = np.asarray(self.scales[columns], np.float64)
        return codes * np.repeat(scales, self.k // scales.shape[1], axis=1)

    def check(self, output, activations="f32", weights_in_bf16=False, result="f32"):
        """Compares C, f32[M,N], with the product in f64.

        - activations: the grid they are rounded to: `f32`, `bf16`, `row` (8 bits, a step for each row), `tensor` (8 bits,
          one step for all). Steps are at most (largest magnitude)/127; finer grids pass as well.
        - weights_in_bf16: whether dequantised weights are rounded to bf16 before they are multiplied.

        Each output may be off by 8·√K·u·(|A|·|W|) for the sum in f32, by six deviations of the roundings named, taken as
        independent, and by half a unit of the result's type. Returns the largest part of its allowance that any
        output used; raises WrongResult above 1.
        """
        if output.shape != (self.m, self.n):
            raise WrongResult(f"the output has shape {output.shape}; expected {(self.m, self.n)}")
        whole = self.m * self.n * self.k <= WHOLE_PRODUCTS
        columns = np.arange(self.n) if whole else np.unique(np.linspace(0, self.n - 1, SOME_COLUMNS).astype(int))
        w = self._rows_of_weights(columns)
        a = self.a.astype(np.float64)
        found = output[:, columns].astype(np.float64)
        exact = a @ w.T
        magnitude = np.abs(a) @ np.abs(w).T
        variance = self._activation_variance(a, activations) @ (w.T**2)
        if weights_in_bf16:
            variance = variance + (a**2) @ (w.T**2) * BF16**2 / 3
        allowed = 8 * self.k**0.5 * F32 * magnitude + 6 * np.sqrt(variance) + 1e-30
        if result == "bf16":
            allowed = allowed + BF16 * np.abs(exact)
        part = np.abs(found - exact) / allowed
        if not np.isfinite(output).all() or not (part <= 1).all():
            worst = np.unravel_index(np.nanargmax(np.where(np.isfinite(part), part, np.inf)), part.shape)
            raise WrongResult(
                f"C[{worst[0]}, {columns[worst[1]]}] is {found[worst]:g}; in f64 it is {exact[worst]:g}, and "
                f"{allowed[worst]:.2g} may be lost"
            )
        return float(part.max())

    @staticmethod
    def _activation_variance(a, grid):
        if grid == "f32":
            return np.zeros_like(a)
        if grid == "bf16":
            return (a * BF16) ** 2 / 3
        peak = np.abs(a).max(axis=1, keepdims=True) if grid == "row" else np.abs(a).max()
        return np.broadcast_to((peak / 127) ** 2 / 12, a.shape)
