"""OpenVINO's attention. A graph has one ScaledDotProductAttention for each copy of keys and values, all on the same queries."""

import numpy as np
import openvino
from openvino import opset13 as op
from openvino import properties
from sequences.operands import to_bf16


def _config(narrow, threads):
    hint = properties.hint
    return {
        properties.inference_num_threads(): threads,
        properties.num_streams(): 1,
        hint.performance_mode(): hint.PerformanceMode.LATENCY,
        hint.enable_hyper_threading(): False,
        hint.inference_precision(): openvino.Type.bf16 if narrow else openvino.Type.f32,
        hint.kv_cache_precision(): openvino.Type.bf16 if narrow else openvino.Type.f32,
    }


class Product:
    version = openvino.__version__.partition("-")[0]

    def __init__(self, variant, problem, operands, copies, threads):
        p = self.problem = problem
        narrow, cached = p.format == "bf16", "context" in p.size
        # Heads that share keys are rows beside each other: its CPU plug-in takes as many heads of keys as of queries.
        self.folded = cached and p.heads != p.kv_heads
        groups = p.kv_heads if self.folded else p.heads
        q = operands["q"].reshape(1, groups, -1, p.head_dim) if self.folded else self._heads_first(operands["q"])
        k, v = (self._heads_first(operands[name]) for name in "kv")
        if groups != k.shape[1]:
            raise ValueError(f"{p.heads} heads over {k.shape[1]} of keys; its operation takes as many, but for one token")
        in_bf16 = narrow and cached
        kind = openvino.Type.bf16 if in_bf16 else openvino.Type.f32
        query = op.parameter(q.shape, openvino.Type.f32)
        parameters, results, self.tensors = [query], [], [self._shared(q, openvino.Type.f32)]
        for _ in range(copies):
            pair = [op.parameter(x.shape, kind) for x in (k, v)]
            # Without a scale of its own it takes ours, one over the root of the head size.
            asked = op.convert(query, "bf16") if in_bf16 else query
            o = op.scaled_dot_product_attention(asked, *pair, causal=p.mask == "causal" and not cached)
            results.append(op.result(op.convert(o, "f32") if in_bf16 else o))
            parameters += pair
            self.tensors += [self._shared(x, kind) for x in (k, v)]
        model = openvino.Model(results, parameters, "attention")
        compiled = openvino.Core().compile_model(model, "CPU", _config(narrow, threads))
        self.request = compiled.create_infer_request()
        for i, tensor in enumerate(self.tensors):
            self.request.set_input_tensor(i, tensor)
        self.calls, self.products_in_run = 1, copies

    @staticmethod
    def _heads_first(array):
        return np.ascontiguousarray(array.swapaxes(0, 1))[None]

    @staticmethod
    def _shared(array, kind):
        """In memory of its own, which the request reads."""
        if kind == openvino.Type.bf16:
            bits = (to_bf16(array).view(np.uint32) >> 16).astype(np.uint16)
            return openvino.Tensor(bits, openvino.Shape(list(bits.shape)), kind)
        return openvino.Tensor(array.copy(), shared_memory=True)

    def run(self):
        self.request.infer()

    def outputs(self):
        o, p = np.array(self.request.get_output_tensor(0).data, np.float32), self.problem
        return {"o": o.reshape(1, p.heads, p.head_dim) if self.folded else o[0].swapaxes(0, 1)}
