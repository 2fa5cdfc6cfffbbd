"""ONNX Runtime's products. A graph has one node for each copy of the weights, all on one input."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from gemm.operands import variation

CONTRIBUTED = "com.microsoft"


def _tensor(name, array):
    kinds = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8}
    return helper.make_tensor(name, kinds[array.dtype.name], array.shape, np.ascontiguousarray(array).tobytes(), raw=True)


def packed_nibbles(codes, group):
    """s4 codes [N,K] as MatMulNBits takes them: u8[N, K/group, group/2], plus 8, the first of a pair in the low bits."""
    n, k = codes.shape
    shifted = (np.asarray(codes) + 8).astype(np.uint8).reshape(n, k // group, group // 2, 2)
    return shifted[..., 0] | shifted[..., 1] << 4


def _session(graph_nodes, initializers, a_type, a_shape, outputs, out_type, threads):
    graph = helper.make_graph(
        graph_nodes,
        "gemm",
        [helper.make_tensor_value_info("a", a_type, a_shape)],
        [helper.make_tensor_value_info(name, out_type, None) for name in outputs],
        initializers,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIBUTED, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Nothing here can be fused, and nodes that look alike must stay.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Product:
    """`run()` multiplies by every copy of the weights once."""

    version = onnxruntime.__version__

    def __init__(self, variant, operands, copies, threads):
        self.checks = dict(activations="f32")
        make = {
            "MatMul": self._float,
            "DynamicQuantizeMatMul": self._dynamic,
            "MatMulInteger": self._integer,
            "MatMulNBits-a8": lambda o, i: self._bits(o, i, 4),
            "MatMulNBits-f32": lambda o, i: self._bits(o, i, 1),
        }[variant]
        self.operands = operands
        nodes, initializers, outputs = [], [], []
        self.out_type, self.a = TensorProto.FLOAT, operands.a
        for i in range(copies):
            node, tensors = make(operands, i)
            nodes.append(node)
            initializers += tensors
            outputs.append(f"c{i}")
        a_type = TensorProto.FLOAT if self.a.dtype == np.float32 else TensorProto.UINT8
        session = _session(nodes, initializers, a_type, self.a.shape, outputs, self.out_type, threads)
        self.binding = session.io_binding()
        self.binding.bind_ortvalue_input("a", onnxruntime.OrtValue.ortvalue_from_numpy(self.a))
        kind = np.float32 if self.out_type == TensorProto.FLOAT else np.int32
        self.values = [
            onnxruntime.OrtValue.ortvalue_from_shape_and_type([operands.m, operands.n], kind, "cpu") for _ in outputs
        ]
        for name, value in zip(outputs, self.values):
            self.binding.bind_ortvalue_output(name, value)
        self.session, self.calls, self.products_in_run = session, 1, copies

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def output(self):
        c = self.values[0].numpy()
        return c if c.dtype == np.float32 else self._dequantised(c)

    def _float(self, operands, i):
        node = helper.make_node("MatMul", ["a", f"w{i}"], [f"c{i}"])
        return node, [_tensor(f"w{i}", variation(operands.weights, i).T)]

    def _dynamic(self, operands, i):
        self.checks = dict(activations="tensor")
        node = helper.make_node("DynamicQuantizeMatMul", ["a", f"w{i}", f"s{i}"], [f"c{i}"], domain=CONTRIBUTED)
        return node, [_tensor(f"w{i}", variation(operands.codes, i).T), _tensor(f"s{i}", np.asarray(operands.scales)[:, 0])]

    def _integer(self, operands, i):
        if i == 0:
            self.checks = dict(activations="tensor")
            self.out_type = TensorProto.INT32
            self.step = float(np.abs(operands.a).max()) / 127
            self.a = (np.rint(operands.a / self.step) + 128).astype(np.uint8)
        node = helper.make_node("MatMulInteger", ["a", f"w{i}", f"z{i}"], [f"c{i}"])
        return node, [_tensor(f"w{i}", variation(operands.codes, i).T), _tensor(f"z{i}", np.array(128, np.uint8))]

    def _dequantised(self, c):
        return (c.astype(np.float64) * self.step * np.asarray(self.operands.scales)[:, 0]).astype(np.float32)

    def _bits(self, operands, i, accuracy):
        self.checks = dict(activations="row" if accuracy == 4 else "f32")
        node = helper.make_node(
            "MatMulNBits", ["a", f"w{i}", f"s{i}"], [f"c{i}"], domain=CONTRIBUTED, K=operands.k, N=operands.n, bits=4,
            block_size=operands.group, accuracy_level=accuracy,
        )  # fmt: skip
        codes = packed_nibbles(variation(operands.codes, i), operands.group)
        return node, [_tensor(f"w{i}", codes), _tensor(f"s{i}", np.asarray(operands.scales).reshape(-1))]
