"""ggml's functions, from the libraries that llama-cpp-python brings."""

import ctypes
import importlib.metadata
import importlib.util
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import numpy as np

# ggml_type
F32, F16, Q4_0, Q8_0, Q4_K, I32, BF16 = 0, 1, 2, 8, 12, 26, 30


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


PROTOTYPES = {
    "ggml_init": (c_void_p, [InitParams]),
    "ggml_new_tensor_1d": (c_void_p, [c_void_p, c_int, c_int64]),
    "ggml_new_tensor_2d": (c_void_p, [c_void_p, c_int, c_int64, c_int64]),
    "ggml_new_tensor_3d": (c_void_p, [c_void_p, c_int, c_int64, c_int64, c_int64]),
    "ggml_new_tensor_4d": (c_void_p, [c_void_p, c_int, c_int64, c_int64, c_int64, c_int64]),
    "ggml_view_1d": (c_void_p, [c_void_p, c_void_p, c_int64, c_size_t]),
    "ggml_view_2d": (c_void_p, [c_void_p, c_void_p, c_int64, c_int64, c_size_t, c_size_t]),
    "ggml_view_4d": (c_void_p, [c_void_p] * 2 + [c_int64] * 4 + [c_size_t] * 4),
    "ggml_transpose": (c_void_p, [c_void_p] * 2),
    "ggml_concat": (c_void_p, [c_void_p] * 3 + [c_int]),
    "ggml_cpy": (c_void_p, [c_void_p] * 3),
    "ggml_add": (c_void_p, [c_void_p] * 3),
    "ggml_mul": (c_void_p, [c_void_p] * 3),
    "ggml_silu": (c_void_p, [c_void_p] * 2),
    "ggml_swiglu_split": (c_void_p, [c_void_p] * 3),
    "ggml_mul_mat": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "ggml_flash_attn_ext": (c_void_p, [c_void_p] * 5 + [c_float] * 3),
    "ggml_rwkv_wkv6": (c_void_p, [c_void_p] * 7),
    "ggml_rwkv_wkv7": (c_void_p, [c_void_p] * 8),
    "ggml_gated_linear_attn": (c_void_p, [c_void_p] * 6 + [c_float]),
    "ggml_gated_delta_net": (c_void_p, [c_void_p] * 7 + [c_int64]),
    "ggml_ssm_conv": (c_void_p, [c_void_p] * 3),
    "ggml_ssm_scan": (c_void_p, [c_void_p] * 8 + [c_int64]),
    "ggml_new_graph_custom": (c_void_p, [c_void_p, c_size_t, c_bool]),
    "ggml_build_forward_expand": (None, [c_void_p, c_void_p]),
    "ggml_tensor_overhead": (c_size_t, []),
    "ggml_graph_overhead_custom": (c_size_t, [c_size_t, c_bool]),
    "ggml_quantize_chunk": (
        c_size_t,
        [c_int, POINTER(c_float), c_void_p, c_int64, c_int64, c_int64, POINTER(c_float)],
    ),
    "ggml_backend_cpu_init": (c_void_p, []),
    "ggml_backend_cpu_set_n_threads": (None, [c_void_p, c_int]),
    "ggml_backend_cpu_buffer_type": (c_void_p, []),
    "ggml_backend_get_device": (c_void_p, [c_void_p]),
    "ggml_backend_dev_backend_reg": (c_void_p, [c_void_p]),
    "ggml_backend_dev_supports_op": (c_bool, [c_void_p, c_void_p]),
    "ggml_backend_reg_get_proc_address": (c_void_p, [c_void_p, c_char_p]),
    "ggml_backend_buft_alloc_buffer": (c_void_p, [c_void_p, c_size_t]),
    "ggml_backend_buft_name": (c_char_p, [c_void_p]),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, [c_void_p, c_void_p]),
    "ggml_backend_tensor_set": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_tensor_get": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_graph_compute": (c_int, [c_void_p, c_void_p]),
    "ggml_nbytes": (c_size_t, [c_void_p]),
}


class Library:
    """The functions of PROTOTYPES, from whichever of ggml's libraries has them.

    Operations are called as the version in requirements.txt declares them: `gated_delta_net` and `ssm_scan` take a count of
    states to keep, which earlier ones did not.
    """

    version = importlib.metadata.version("llama_cpp_python") if importlib.util.find_spec("llama_cpp") else None

    def __init__(self):
        found = importlib.util.find_spec("llama_cpp")
        if found is None or not found.origin:
            raise ImportError("llama_cpp is not installed")
        folder = Path(found.origin).parent / "lib"
        loaded = [ctypes.CDLL(folder / f"lib{name}.so", ctypes.RTLD_GLOBAL) for name in ("ggml-base", "ggml-cpu", "ggml")]
        for name, (result, arguments) in PROTOTYPES.items():
            function = next((getattr(lib, name) for lib in loaded if hasattr(lib, name)), None)
            if function is None:
                raise ImportError(f"ggml's libraries in {folder} have no {name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("ggml_"), function)

    def context(self, tensors, graph=0):
        """For as many tensors, and a graph of `graph` nodes; memory for data comes apart."""
        size = (tensors + 1) * self.tensor_overhead() + (self.graph_overhead_custom(graph, False) if graph else 0)
        return self.init(InitParams(size, None, True))

    def allocate(self, context, buffer_type):
        if not self.backend_alloc_ctx_tensors_from_buft(context, buffer_type):
            raise MemoryError("ggml could not allocate its tensors")

    def set(self, tensor, array):
        array = np.ascontiguousarray(array)
        if self.nbytes(tensor) != array.nbytes:
            raise ValueError(f"ggml's tensor has {self.nbytes(tensor)} bytes; expected {array.nbytes}")
        self.backend_tensor_set(tensor, array.ctypes.data, 0, array.nbytes)

    def get(self, tensor, shape):
        out = np.empty(shape, np.float32)
        self.backend_tensor_get(tensor, out.ctypes.data, 0, out.nbytes)
        return out

    def compute(self, backend, graph):
        if self.backend_graph_compute(backend, graph) != 0:
            raise RuntimeError("ggml_backend_graph_compute failed")
