"""PyTorch's products, weights packed beforehand: MKL (f32), oneDNN (f32, bf16, int8), FBGEMM (int8), its own int4 kernel."""

import numpy as np
import torch


class Product:
    version = torch.__version__

    def __init__(self, variant, operands, copies, threads):
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.operands = operands
        self.a = torch.from_numpy(operands.a)
        self.checks = dict(activations="f32")
        make = {
            "mkl": self._mkl,
            "onednn": self._onednn,
            "bf16": self._bf16,
            "bf16-in-out": self._bf16_in_out,
            "dynamic-x86": lambda: self._dynamic("x86"),
            "dynamic-onednn": lambda: self._dynamic("onednn"),
            "int_mm": self._integer,
            "int4pack": self._int4,
        }[variant]
        self.products = [make() for _ in range(copies)]
        self.calls, self.products_in_run, self.c = copies, copies, None

    def run(self):
        for product in self.products:
            self.c = product()

    def output(self):
        c = self.c
        if c.dtype == torch.int32:
            return (c.double() * self.step * torch.from_numpy(np.array(self.operands.scales[:, 0]))).float().numpy()
        return c.float().numpy()

    def _weights(self):
        return torch.from_numpy(np.array(self.operands.weights))

    def _mkl(self):
        a, m, w = self.a, self.operands.m, self._weights()
        packed = torch.ops.mkl._mkl_reorder_linear_weight(w, m)
        multiply = torch.ops.mkl._mkl_linear
        return lambda: multiply(a, packed, w, None, m)

    def _onednn(self):
        a, packed = self.a, torch.ops.mkldnn._reorder_linear_weight(self._weights(), self.operands.m)
        linear = torch.ops.mkldnn._linear_pointwise
        return lambda: linear(a, packed, None, "none", [], "")

    def _bf16_weights(self):
        return torch.ops.mkldnn._reorder_linear_weight(self._weights().bfloat16(), self.operands.m)

    def _bf16(self):
        self.checks = dict(activations="bf16", result="bf16")
        a, packed = self.a, self._bf16_weights()
        linear = torch.ops.mkldnn._linear_pointwise
        return lambda: linear(a.bfloat16(), packed, None, "none", [], "").float()

    def _bf16_in_out(self):
        self.checks = dict(activations="bf16", result="bf16")
        a, packed = self.a.bfloat16(), self._bf16_weights()
        linear = torch.ops.mkldnn._linear_pointwise
        return lambda: linear(a, packed, None, "none", [], "")

    def _dynamic(self, engine):
        self.checks = dict(activations="tensor")
        torch.backends.quantized.engine = engine
        codes, scales = (np.array(v) for v in (self.operands.codes, self.operands.scales[:, 0]))
        w = torch._make_per_channel_quantized_tensor(
            torch.from_numpy(codes), torch.from_numpy(scales.astype(np.float64)),
            torch.zeros(len(scales), dtype=torch.int64), 0)  # fmt: skip
        packed = torch.ops.quantized.linear_prepack(w, None)
        return lambda: torch.ops.quantized.linear_dynamic(self.a, packed)

    def _integer(self):
        self.checks = dict(activations="tensor")
        self.step = float(self.a.abs().max()) / 127
        a = (self.a / self.step).round().to(torch.int8)
        w = torch.from_numpy(np.array(self.operands.codes)).t()
        return lambda: torch._int_mm(a, w)

    def _int4(self):
        """bf16 in and out: PyTorch has no other. Activations are converted from f32 and back, as for `bf16`."""
        self.checks = dict(activations="bf16", weights_in_bf16=True, result="bf16")
        o = self.operands
        codes = torch.from_numpy((np.asarray(o.codes) + 8).astype(np.int32))
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
        scales = torch.from_numpy(np.array(o.scales)).t()
        pairs = torch.stack([scales, torch.zeros_like(scales)], dim=2).contiguous().bfloat16()
        multiply = torch.ops.aten._weight_int4pack_mm_for_cpu
        return lambda: multiply(self.a.bfloat16(), packed, o.group, pairs).float()
