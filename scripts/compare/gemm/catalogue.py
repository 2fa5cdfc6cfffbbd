"""Which peers there are, what each computes, and why the rest is left out."""

from common.catalogue import Side, lacking_of, sides_of

FORMATS = ("f32", "bf16", "w8a8", "w4a8-g32", "w4a8-g64", "w4a8-g128", "w4a16-g32", "w4a16-g64", "w4a16-g128")
ALL_W4A8 = tuple(f for f in FORMATS if f.startswith("w4a8"))
ALL_W4A16 = tuple(f for f in FORMATS if f.startswith("w4a16"))

SIDES = (
    Side("onednn", "", ("f32", "bf16", "w8a8")),
    Side("openblas", "", ("f32",)),
    Side("onnxruntime", "MatMul", ("f32",)),
    Side("onnxruntime", "DynamicQuantizeMatMul", ("w8a8",)),
    Side("onnxruntime", "MatMulNBits-a8", ALL_W4A8),
    Side("onnxruntime", "MatMulNBits-f32", ALL_W4A16),
    Side("onnxruntime", "MatMulInteger", ("w8a8",), "integers alone: activations quantised beforehand, s32 out"),
    Side("openvino", "f32", ("f32",)),
    Side("openvino", "bf16", ("bf16",)),
    Side("openvino", "dynamic", ("w8a8", *ALL_W4A8)),
    Side("openvino", "w-bf16", ALL_W4A16),
    Side("openvino", "w-f32", ALL_W4A16),
    Side("pytorch", "mkl", ("f32",)),
    Side("pytorch", "onednn", ("f32",)),
    Side("pytorch", "bf16", ("bf16",)),
    Side("pytorch", "dynamic-x86", ("w8a8",)),
    Side("pytorch", "dynamic-onednn", ("w8a8",)),
    Side("pytorch", "int4pack", ALL_W4A16),
    Side("pytorch", "bf16-in-out", ("bf16",), "bf16 in and out: nothing is converted"),
    Side("pytorch", "int_mm", ("w8a8",), "integers alone: activations quantised beforehand, s32 out"),
    Side("ggml", "F32", ("f32",)),
    Side("ggml", "BF16", ("bf16",)),
    Side("ggml", "Q4_0", ("w4a8-g32",)),
    Side("ggml", "Q8_0", ("w8a8",), "a scale for every 32 values of both operands"),
    Side("ggml", "Q4_K", ("w4a8-g32",), "6-bit scales and minima below a scale for every 256"),
)

# Of peers by format (prefix), where there is no side: the reason.
LACKING = {
    ("openblas", "bf16"): "Debian's build has no sbgemm",
    ("openblas", "w"): "no product of integers",
    ("onednn", "w4"): "oneDNN 2.6 has no 4-bit weights",
    ("onnxruntime", "bf16"): "its CPU provider has no bf16 MatMul for x86",
    ("pytorch", "w4a8"): "its only such operation (_dyn_quant_matmul_4bit) has kernels for Arm, and plain loops elsewhere",
    ("ggml", "w8a8"): "Q8_0 has a scale for every 32 values of both operands: other work (--unlike)",
    ("ggml", "w4a8"): "its formats have groups of 32",
    ("ggml", "w4a16"): "it quantises the activations of every 4-bit product",
}

PEERS = tuple(dict.fromkeys(side.peer for side in SIDES))
PLUGINS = ("onednn", "openblas")


def sides(form, peers, unlike):
    return sides_of(SIDES, form, peers, unlike)


def lacking(peer, form):
    """Why `peer` has no side for `form`; None where it has one."""
    return lacking_of(SIDES, LACKING, peer, form)
