"""ONNX Runtime's attention: MultiHeadAttention for many tokens, GroupQueryAttention for one beside a cache.

The latter appends this token's key and value to the cache, in place, before it attends: a row more than ours.
"""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

CONTRIBUTED = "com.microsoft"
FLOAT = TensorProto.FLOAT


def _session(nodes, inputs, outputs, threads):
    graph = helper.make_graph(
        nodes, "attention", [helper.make_tensor_value_info(*x) for x in inputs], [helper.make_tensor_value_info(*x) for x in outputs]
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
    version = onnxruntime.__version__

    def __init__(self, variant, problem, operands, copies, threads):
        self.problem = problem
        self.inputs, self.outputs_of, self.nodes = {}, {}, []
        make = self._multi_head if variant == "MultiHeadAttention" else self._group_query
        for i in range(copies):
            make(operands, i)
        kinds = {np.dtype(np.float32): FLOAT, np.dtype(np.int32): TensorProto.INT32}
        session = _session(
            self.nodes,
            [(name, kinds[array.dtype], array.shape) for name, array in self.inputs.items()],
            [(name, FLOAT, shape) for name, (shape, _) in self.outputs_of.items()],
            threads,
        )
        self.binding = session.io_binding()
        self.values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in self.inputs.items()}
        self.inputs = None
        for name, value in list(self.values.items()):
            self.binding.bind_ortvalue_input(name, value)
        for name, (shape, same) in self.outputs_of.items():
            if same is None:
                self.values[name] = onnxruntime.OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32, "cpu")
            self.binding.bind_ortvalue_output(name, self.values[same or name])
        self.session, self.calls, self.products_in_run = session, 1, copies

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def outputs(self):
        p = self.problem
        return {"o": self.values["o0"].numpy().reshape(p.tokens, p.heads, p.head_dim)}

    def _multi_head(self, x, i):
        p = self.problem
        if p.heads != p.kv_heads:
            raise ValueError(f"{p.heads} heads over {p.kv_heads} of keys; MultiHeadAttention takes as many")
        for name in "qkv":
            self.inputs[f"{name}{i}"] = x[name].reshape(1, p.tokens, -1)
        self.nodes.append(helper.make_node(
            "MultiHeadAttention", [f"{name}{i}" for name in "qkv"], [f"o{i}"], domain=CONTRIBUTED, num_heads=p.heads, scale=x.scale,
            unidirectional=int(p.mask == "causal"),
        ))  # fmt: skip
        self.outputs_of[f"o{i}"] = ((1, p.tokens, p.heads * p.head_dim), None)

    def _group_query(self, x, i):
        p = self.problem
        self.inputs["q"] = x["q"].reshape(1, 1, -1)
        self.inputs["length"], self.inputs["total"] = np.array([p.keys - 1], np.int32), np.array([p.keys], np.int32)
        pair = []
        for name in "kv":
            self.inputs[f"last_{name}"] = x[name][-1:].reshape(1, 1, -1)
            self.inputs[f"past_{name}{i}"] = np.ascontiguousarray(x[name].swapaxes(0, 1))[None]
            # Bound to the same memory, so that the cache is appended to where it lies.
            self.outputs_of[f"present_{name}{i}"] = (self.inputs[f"past_{name}{i}"].shape, f"past_{name}{i}")
            pair.append(f"past_{name}{i}")
        self.nodes.append(helper.make_node(
            "GroupQueryAttention", ["q", "last_k", "last_v", *pair, "length", "total"], [f"o{i}", f"present_k{i}", f"present_v{i}"],
            domain=CONTRIBUTED, num_heads=p.heads, kv_num_heads=p.kv_heads, scale=x.scale,
        ))  # fmt: skip
        self.outputs_of[f"o{i}"] = ((1, 1, p.heads * p.head_dim), None)
