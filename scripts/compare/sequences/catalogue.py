"""Which peers compute which ops on sequences, and why the rest is left out."""

from common.catalogue import Side, lacking_of, sides_of
from common.table import Subject
from sequences.problem import Problem

PREFILL = {form: (f"attention {form} full", f"attention {form} causal") for form in ("f32", "bf16")}
DECODE = {form: (f"attention {form} decode",) for form in ("f32", "bf16")}
ATTENTION = (*PREFILL["f32"], *PREFILL["bf16"], *DECODE["f32"], *DECODE["bf16"])


def both(*ops):
    return tuple(f"{op} {phase}" for op in ops for phase in ("prefill", "decode"))


SIDES = (
    Side("openvino", "sdpa", ATTENTION),
    Side("pytorch", "sdpa", ATTENTION),
    Side("pytorch", "sdpa-bf16-in-out", PREFILL["bf16"], "bf16 in and out: nothing is converted"),
    Side("onnxruntime", "MultiHeadAttention", PREFILL["f32"]),
    Side("onnxruntime", "GroupQueryAttention", DECODE["f32"]),
    Side("ggml", "flash_attn_ext", ATTENTION),
    Side("ggml", "gated_linear_attn", both("gla", "retention")),
    Side("ggml", "rwkv_wkv6", both("rwkv6")),
    Side("ggml", "rwkv_wkv7", both("rwkv7")),
    Side("ggml", "gated_delta_net", both("gated-delta-net", "delta-net")),
    Side("ggml", "ssm_scan", both("mamba1", "mamba2")),
    Side("ggml", "ssm_conv", both("causal-conv1d")),
    Side("pytorch", "chunked", tuple(f"{op} prefill" for op in (
        "linear-attention", "retention", "gla", "rwkv6", "rwkv7", "delta-net", "gated-delta-net", "mamba2"))),
    Side("pytorch", "step", tuple(f"{op} decode" for op in (
        "linear-attention", "retention", "gla", "rwkv6", "rwkv7", "delta-net", "gated-delta-net", "mamba2"))),
    Side("pytorch", "eager", both("mamba1")),
    Side("pytorch", "compiled", both("mamba1")),
    Side("pytorch", "conv1d", both("causal-conv1d")),
    Side("pytorch", "conv1d-native", both("causal-conv1d")),
    Side("pytorch", "fft", ("long-conv",)),
)  # fmt: skip

_NONE = "no operation for it; a graph of single ones is another kind of work"
_LINEAR = "its LinearAttention has not been set up here yet"
# Of peers by section (prefix), where there is no side: the reason. What a peer has, but has not been set up, says so.
LACKING = {
    ("onnxruntime", "attention bf16"): "its CPU provider has no bf16 attention",
    ("onnxruntime", "causal-conv1d"): "its CausalConvWithState has not been set up here yet",
    ("onnxruntime", "gated-delta-net"): "its LinearAttention and GatedDeltaNet have not been set up here yet",
    ("onnxruntime", "delta-net"): _LINEAR,
    ("onnxruntime", "gla"): _LINEAR,
    ("onnxruntime", "retention"): _LINEAR,
    ("onnxruntime", "linear-attention"): "its LinearAttention has not been set up here yet; whether it divides by the sum of keys is not known",
    ("openvino", "gated-delta-net"): "its GatedDeltaNet has not been set up here yet",
    ("openvino", "delta-net"): "its GatedDeltaNet has not been set up here yet",
    ("openvino", "causal-conv1d"): "its PagedCausalConv is for paged caches alone; not set up here",
    ("openvino", "long-conv"): "its DFT has not been set up here",
    ("onnxruntime", "long-conv"): "its DFT has not been set up here",
    ("openvino", ""): _NONE,
    ("onnxruntime", ""): _NONE,
    ("ggml", "linear-attention"): "no operation that divides by the sum of keys",
    ("ggml", "long-conv"): "no FFT",
}

PEERS = tuple(dict.fromkeys(side.peer for side in SIDES))


def sides(problem, peers, unlike):
    return sides_of(SIDES, problem.section, peers, unlike)


def lacking(peer, section):
    """Why `peer` has no side for `section`; None where it has one."""
    return lacking_of(SIDES, LACKING, peer, section)


SUBJECT = Subject(
    script="compare-sequences",
    title="Attention, recurrences, scans and convolutions beside their peers",
    problem=Problem,
    section="op",
    row="sizes",
    marks="Rows: heads (/ heads of keys and values) × head size, or channels. c: caches and states from memory, rotated over copies "
    "on both sides; otherwise hot.",
    peers=PEERS,
    lacking=lacking,
)
