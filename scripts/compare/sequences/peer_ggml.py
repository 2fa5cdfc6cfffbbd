"""ggml's operations on sequences, through the library that llama-cpp-python brings: a graph with the operation once for each copy.

What llama.cpp puts around an operation that ours includes is in the graph too: for scans the bias, the skip and the gate; for short
convolutions the rows before, the bias and SiLU. Decays are given as the operation takes them, factors where it does not
raise e to them itself. Layouts are its own, made beforehand.
"""

import numpy as np
from common.ggml import BF16, F16, F32, I32, Library
from sequences.operands import to_bf16

# A graph repeats an operation that is soon done: up to so many times, and to so many steps of its inner loop.
REPEATS = 16
STEPS = 1 << 20
# Of one operation and what is around it.
MOST_TENSORS = 32
FLOAT = 4


class Product:
    def __init__(self, variant, problem, operands, copies, threads):
        lib = self.lib = Library()
        self.version, self.problem = lib.version, problem
        self.backend = lib.backend_cpu_init()
        lib.backend_cpu_set_n_threads(self.backend, threads)
        nodes = copies if copies > 1 else max(1, min(REPEATS, STEPS // self._steps()))
        most = nodes * MOST_TENSORS
        self.context, self.values = lib.context(most, graph=most), []
        make = {
            "flash_attn_ext": self._attention, "rwkv_wkv6": self._wkv6, "rwkv_wkv7": self._wkv7, "gated_linear_attn": self._gla,
            "gated_delta_net": self._gated_delta_net, "ssm_conv": self._conv,
            "ssm_scan": self._mamba1 if problem.op == "mamba1" else self._mamba2,
        }[variant]  # fmt: skip
        self.graph = lib.new_graph_custom(self.context, most, False)
        inputs = [self._inputs(variant, operands) for _ in range(copies)]
        for i in range(nodes):
            self.results = make(operands, inputs[i % copies])
            for result in self.results[1:]:
                lib.build_forward_expand(self.graph, result)
        lib.allocate(self.context, lib.backend_cpu_buffer_type())
        for value, array in self.values:
            lib.set(value, array)
        self.values, self.calls, self.products_in_run = [], 0, nodes

    def _steps(self):
        s, p = self.problem.size, self.problem
        if p.op == "attention":
            return s["heads"] * s["tokens"] * p.keys * s["head-dim"]
        if "heads" in s:
            return s["tokens"] * s["heads"] * p.states * s["head-dim"]
        return s["tokens"] * s["channels"] * s.get("state", s.get("width"))

    def _tensor(self, array, kind=None):
        """With the array's dimensions, the last first; filled once memory is there."""
        kinds = {np.dtype(np.float32): F32, np.dtype(np.float16): F16, np.dtype(np.uint16): BF16, np.dtype(np.int32): I32}
        made = self._new(kind or kinds[array.dtype], *array.shape)
        self.values.append((made, array))
        return made

    def _new(self, kind, *shape):
        return getattr(self.lib, f"new_tensor_{len(shape)}d")(self.context, kind, *reversed(shape))

    def run(self):
        self.lib.compute(self.backend, self.graph)

    def outputs(self):
        return self.results[0]()

    # What an operation takes, by name

    def _inputs(self, variant, x):
        p = self.problem
        heads_first = lambda array: np.ascontiguousarray(array.swapaxes(0, 1))
        if variant == "flash_attn_ext":
            arrays = {name: heads_first(x[name]) for name in "qkv"}
            if p.format == "bf16" and "context" in p.size:
                arrays |= {name: (to_bf16(arrays[name]).view(np.uint32) >> 16).astype(np.uint16) for name in "kv"}
        elif p.op == "mamba1":
            arrays = {name: x[name] for name in ("delta", "a", "bias", "skip", "z")} | {"x": x["u"][None, :, :, None]}
            arrays |= {name: x[name][None, :, None] for name in "bc"} | {"state": x["state"][None, :, None]}
        elif p.op == "mamba2":
            # ssm_scan takes the softplus of its steps itself.
            arrays = {"delta": np.log(np.expm1(x["rate"])), "a": x["log_decay"][:, None], "skip": x["skip"][:, None], "x": x["v"][None]}
            arrays |= {"b": x["k"][None], "c": x["q"][None], "state": x["state"].swapaxes(1, 2)[None]}
        elif variant == "ssm_conv":
            arrays = {"x": x["x"], "state": x["state"], "weight": x["weight"], "bias": x["bias"]}
        else:
            arrays = {name: x[name] for name in ("q", "k", "v", "a", "b", "bonus") if name in x}
            transposed = variant in ("rwkv_wkv7", "gated_delta_net")
            arrays["state"] = x["state"].swapaxes(1, 2) if transposed else x["state"]
            if variant == "gated_delta_net":
                arrays["g"] = x["decay"][:, :, None] if "decay" in x else np.zeros_like(x["rate"])[:, :, None]
                arrays["rate"] = x["rate"][:, :, None]
                arrays = {name: array[None] for name, array in arrays.items()}
            else:
                arrays["state"] = arrays["state"].reshape(1, -1)
                decay = x["decay"] if "decay" in x else np.broadcast_to(x["log_decay"][:, None], x["k"].shape)
                arrays["g"] = np.exp(decay)
        if variant == "ssm_scan":
            arrays["ids"] = np.zeros(1, np.int32)
        return {name: self._tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}

    # Operations: a function that reads the results, and the nodes a graph ends in

    def _attention(self, x, t):
        p, lib, cached = self.problem, self.lib, "context" in self.problem.size
        k, v = t["k"], t["v"]
        if p.format == "bf16" and not cached:
            k, v = (lib.cpy(self.context, y, self._new(BF16, p.kv_heads, p.keys, p.head_dim)) for y in (k, v))
        mask = None
        if p.mask == "causal" and not cached:
            if not hasattr(self, "mask"):
                self.mask = self._tensor(np.triu(np.full((p.tokens, p.keys), -np.inf, np.float16), 1))
            mask = self.mask
        o = lib.flash_attn_ext(self.context, t["q"], k, v, mask, x.scale, 0.0, 0.0)
        return lambda: {"o": lib.get(o, (p.tokens, p.heads, p.head_dim))}, o

    def _recurrent(self, result, transposed):
        """Rows of o, then the state."""
        p = self.problem

        def read():
            rows = p.tokens * p.heads * p.head_dim
            flat = self.lib.get(result, rows + p.heads * p.states * p.head_dim)
            state = flat[rows:].reshape(p.heads, *((p.head_dim, p.states) if transposed else (p.states, p.head_dim)))
            return {"o": flat[:rows].reshape(p.tokens, p.heads, -1), "state": state.swapaxes(1, 2) if transposed else state}

        return read, result

    def _wkv6(self, x, t):
        result = self.lib.rwkv_wkv6(self.context, t["k"], t["v"], t["q"], t["bonus"], t["g"], t["state"])
        return self._recurrent(result, transposed=False)

    def _wkv7(self, x, t):
        result = self.lib.rwkv_wkv7(self.context, t["q"], t["g"], t["k"], t["v"], t["a"], t["b"], t["state"])
        return self._recurrent(result, transposed=True)

    def _gla(self, x, t):
        result = self.lib.gated_linear_attn(self.context, t["k"], t["v"], t["q"], t["g"], t["state"], x.scale)
        return self._recurrent(result, transposed=False)

    def _gated_delta_net(self, x, t):
        result = self.lib.gated_delta_net(self.context, t["q"], t["k"], t["v"], t["g"], t["rate"], t["state"], 1)
        return self._recurrent(result, transposed=True)

    def _scan(self, t, delta):
        return self.lib.ssm_scan(self.context, t["state"], t["x"], delta, t["a"], t["b"], t["c"], t["ids"], 1)

    def _mamba1(self, x, t):
        p, lib, context = self.problem, self.lib, self.context
        result = self._scan(t, lib.add(context, t["delta"], t["bias"]))
        size = p.tokens * p.channels
        rows = lib.view_2d(context, result, p.channels, p.tokens, FLOAT * p.channels, 0)
        inputs = lib.view_2d(context, t["x"], p.channels, p.tokens, FLOAT * p.channels, 0)
        rows = lib.add(context, rows, lib.mul(context, inputs, t["skip"]))
        gated = lib.swiglu_split(context, t["z"], rows)
        state = lambda: lib.get(result, size + p.channels * p.states)[size:].reshape(p.channels, p.states)
        return lambda: {"y": lib.get(gated, (p.tokens, p.channels)), "state": state()}, gated

    def _mamba2(self, x, t):
        p, lib, context = self.problem, self.lib, self.context
        result = self._scan(t, t["delta"])
        width = p.heads * p.head_dim
        size = p.tokens * width
        rows = lib.view_2d(context, result, p.head_dim, p.heads * p.tokens, FLOAT * p.head_dim, 0)
        rows = lib.view_4d(context, rows, p.head_dim, p.heads, p.tokens, 1, FLOAT * p.head_dim, FLOAT * width, FLOAT * size, 0)
        o = lib.add(context, rows, lib.mul(context, t["x"], t["skip"]))
        state = lambda: lib.get(result, size + p.heads * p.head_dim * p.states)[size:].reshape(p.heads, p.head_dim, p.states)
        return lambda: {"o": lib.get(o, (p.tokens, p.heads, p.head_dim)), "state": state().swapaxes(1, 2)}, o

    def _conv(self, x, t):
        p, lib, context, kept = self.problem, self.lib, self.context, self.problem.width - 1
        rows = lib.concat(context, t["state"], lib.transpose(context, t["x"]), 0)
        row = FLOAT * (kept + p.tokens)
        last = lib.view_2d(context, rows, kept, p.channels, row, FLOAT * p.tokens)
        state = lib.cpy(context, last, self._new(F32, p.channels, kept))
        y = lib.silu(context, lib.add(context, lib.ssm_conv(context, rows, t["weight"]), t["bias"]))
        return lambda: {"y": lib.get(y, (p.tokens, p.channels)), "state": lib.get(state, (p.channels, kept))}, y, state
