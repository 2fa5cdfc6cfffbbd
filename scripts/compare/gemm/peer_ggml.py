"""ggml's products, through the library that llama-cpp-python brings: one mul_mat for each copy of the weights in a graph.

Weights lie in the first of the CPU's buffer types that takes them, as in llama.cpp: repacked where ggml has a layout for that.
"""

import ctypes
from ctypes import POINTER, c_float, c_void_p

import numpy as np
from common.ggml import BF16, F32, Q4_0, Q4_K, Q8_0, Library

TYPES = {"F32": F32, "BF16": BF16, "Q4_0": Q4_0, "Q8_0": Q8_0, "Q4_K": Q4_K}
MOST_NODES = 8192
# Of a graph that repeats one product.
REPEATS = 16
# ggml_tensor begins with its type and, at 8, its buffer.
BUFFER_OFFSET = 8


def _rows(operands, kind, lib):
    """The bytes of the weights in ggml's type, row by row."""
    o = operands
    if kind == F32:
        return np.ascontiguousarray(o.weights)
    if kind == BF16:
        return (np.ascontiguousarray(o.weights).view(np.uint32) >> 16).astype(np.uint16)
    if kind == Q4_0:
        blocks = (np.asarray(o.codes) + 8).astype(np.uint8).reshape(o.n, o.k // 32, 2, 16)
        nibbles = blocks[:, :, 0] | blocks[:, :, 1] << 4
        scales = np.asarray(o.scales).astype(np.float16)[:, :, None].view(np.uint8)
        return np.concatenate([scales, nibbles], axis=2)
    if kind == Q8_0:
        scales = np.repeat(np.asarray(o.scales).astype(np.float16), o.k // 32, axis=1)[:, :, None].view(np.uint8)
        return np.concatenate([scales, np.asarray(o.codes).reshape(o.n, o.k // 32, 32).view(np.uint8)], axis=2)
    # Types with scales of scales: ggml quantises the values, and its own rounding is part of the format.
    if o.k % 256:
        raise ValueError(f"Q4_K has blocks of 256; K={o.k} is not a multiple")
    values = np.ascontiguousarray(np.asarray(o.codes, np.float32) * np.repeat(np.asarray(o.scales), o.group, axis=1))
    out = np.empty(o.n * (o.k // 256) * 144, np.uint8)
    lib.quantize_chunk(kind, values.ctypes.data_as(POINTER(c_float)), out.ctypes.data, 0, o.n, o.k, None)
    return out


def q4_k_values(blocks, n, k):
    """The values that Q4_K blocks stand for, f32[N,K]: eight groups of 32 with scales and minima of 6 bits each."""
    b = blocks.reshape(-1, 144)
    d, dmin = (b[:, i : i + 2].copy().view(np.float16).astype(np.float32) for i in (0, 2))
    s = b[:, 4:16].astype(np.int32)
    low = np.concatenate([s[:, 0:4] & 63, s[:, 8:12] & 15 | s[:, 0:4] >> 6 << 4], axis=1)
    minima = np.concatenate([s[:, 4:8] & 63, s[:, 8:12] >> 4 | s[:, 4:8] >> 6 << 4], axis=1)
    q = b[:, 16:].reshape(-1, 4, 32)
    codes = np.stack([q & 15, q >> 4], axis=2).reshape(-1, 8, 32)
    return (d[:, :, None] * low[:, :, None] * codes - dmin[:, :, None] * minima[:, :, None]).reshape(n, k)


class Product:
    def __init__(self, variant, operands, copies, threads):
        lib = self.lib = Library()
        self.version = lib.version
        kind = TYPES[variant]
        self.checks = dict(activations={F32: "f32", BF16: "bf16"}.get(kind, "row"))
        self.operands = operands
        self.backend = lib.backend_cpu_init()
        lib.backend_cpu_set_n_threads(self.backend, threads)
        rows = _rows(operands, kind, lib)
        if kind == Q4_K:
            operands.codes, operands.weights = None, q4_k_values(rows, operands.n, operands.k)

        # One product is repeated in a graph, so that its start is not all that small ones show.
        nodes = copies if copies > 1 else REPEATS if operands.m * operands.n * operands.k < 1 << 26 else 1
        if nodes > MOST_NODES:
            raise ValueError(f"{nodes} copies of the weights; expected at most {MOST_NODES}")
        weights = lib.context(copies)
        inputs = lib.context(nodes + 1, graph=MOST_NODES)
        tensors = [lib.new_tensor_2d(weights, kind, operands.k, operands.n) for _ in range(copies)]
        a = lib.new_tensor_2d(inputs, F32, operands.k, operands.m)
        products = [lib.mul_mat(inputs, tensors[i % copies], a) for i in range(nodes)]
        buffer_type = self._buffer_type(tensors[0], products[0])
        for allocated, kind_of_buffer in ((weights, buffer_type), (inputs, lib.backend_cpu_buffer_type())):
            lib.allocate(allocated, kind_of_buffer)
        for tensor in tensors:
            lib.set(tensor, rows)
        lib.set(a, operands.a)
        self.graph = lib.new_graph_custom(inputs, MOST_NODES, False)
        for product in products:
            lib.build_forward_expand(self.graph, product)
        self.last, self.calls, self.products_in_run = products[-1], 0, nodes
        self.layout = lib.backend_buft_name(buffer_type).decode()

    def _buffer_type(self, tensor, product):
        """The first that takes the product with its weights in it; the plain one at last."""
        lib = self.lib
        device = lib.backend_get_device(self.backend)
        address = lib.backend_reg_get_proc_address(
            lib.backend_dev_backend_reg(device), b"ggml_backend_dev_get_extra_bufts"
        )
        if address:
            extra = ctypes.CFUNCTYPE(POINTER(c_void_p), c_void_p)(address)(device)
            buffer_field = c_void_p.from_address(tensor + BUFFER_OFFSET)
            i = 0
            while extra and extra[i]:
                buffer_field.value = lib.backend_buft_alloc_buffer(extra[i], 0)
                takes = lib.backend_dev_supports_op(device, product)
                buffer_field.value = None
                if takes:
                    return extra[i]
                i += 1
        return lib.backend_cpu_buffer_type()

    def run(self):
        self.lib.compute(self.backend, self.graph)

    def output(self):
        return self.lib.get(self.last, (self.operands.m, self.operands.n))
