"""OpenVINO's products. A graph has one MatMul for each copy of the weights, all on one input."""

import numpy as np
import openvino
from openvino import opset13 as op
from openvino import properties
from gemm.operands import variation


def _config(variant, operands, threads):
    hint = properties.hint
    config = {
        properties.inference_num_threads(): threads,
        properties.num_streams(): 1,
        hint.performance_mode(): hint.PerformanceMode.LATENCY,
        hint.enable_hyper_threading(): False,
        hint.inference_precision(): openvino.Type.bf16 if "bf16" in variant else openvino.Type.f32,
        hint.dynamic_quantization_group_size(): 0,
    }
    if variant == "dynamic":
        config[hint.dynamic_quantization_group_size()] = operands.group or operands.k
    return config


class Product:
    version = openvino.__version__.partition("-")[0]

    def __init__(self, variant, operands, copies, threads):
        self.checks = dict(activations={"dynamic": "row"}.get(variant, "bf16" if "bf16" in variant else "f32"))
        self.checks["weights_in_bf16"] = "bf16" in variant
        a = op.parameter([operands.m, operands.k], openvino.Type.f32, name="a")
        products = [op.matmul(a, self._weights(operands, i), False, True) for i in range(copies)]
        model = openvino.Model([op.result(p) for p in products], [a], "gemm")
        compiled = openvino.Core().compile_model(model, "CPU", _config(variant, operands, threads))
        self.request = compiled.create_infer_request()
        self.a = operands.a  # the input shares its memory
        self.request.set_input_tensor(openvino.Tensor(self.a, shared_memory=True))
        self.calls, self.products_in_run = 1, copies

    @staticmethod
    def _weights(operands, i):
        if operands.codes is None:
            return op.constant(variation(operands.weights, i))
        codes, scales = variation(operands.codes, i), np.asarray(operands.scales)
        n, k = codes.shape
        if operands.group is None:
            constant = op.constant(codes)
            return op.multiply(op.convert(constant, "f32"), op.constant(scales))
        blocks = op.constant(codes.reshape(n, k // operands.group, operands.group), dtype=openvino.Type.i4)
        scaled = op.multiply(op.convert(blocks, "f16"), op.constant(scales.astype(np.float16)[:, :, None]))
        return op.convert(op.reshape(scaled, op.constant(np.array([n, k])), False), "f32")

    def run(self):
        self.request.infer()

    def output(self):
        return np.array(self.request.get_output_tensor(0).data)
