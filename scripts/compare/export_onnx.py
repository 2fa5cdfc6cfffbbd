"""Exports a BERT sentence encoder to ONNX in the variants ONNX Runtime may run fastest.

usage: export_onnx.py MODEL_DIRECTORY OUTPUT_DIRECTORY

Each variant computes the encoder, the mean over the tokens and the vector of length 1, batch and tokens
free. Each is written in f32 and, by ONNX Runtime's dynamic quantisation with one scale per output
channel, in int8:

  masked    as transformers exports it, with an attention mask
  unmasked  without one, for texts of one length
  fused     masked, with ONNX Runtime's fused embedding, attention, layer norm and GELU operators
"""

import logging
import os
import sys
import warnings
from pathlib import Path

import torch
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from transformers import AutoModel
from transformers import logging as transformers_logging


class SentenceEncoder(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask=None):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if attention_mask is None:
            mean = hidden.mean(1)
        else:
            weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * weight).sum(1) / weight.sum(1)
        return torch.nn.functional.normalize(mean, dim=1)


def export(model, inputs, path):
    """The older exporter: the fusions know its patterns, and the newer one's output names clash."""
    torch.onnx.export(
        model,
        tuple(inputs.values()),
        path,
        dynamo=False,
        opset_version=17,
        input_names=list(inputs),
        output_names=["embedding"],
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in inputs},
    )


def quantise(path, output):
    # Without VNNI, u8·s8 products of 8 bits saturate their 16-bit sums; ONNX Runtime then wants 7 bits.
    vnni = "vnni" in Path("/proc/cpuinfo").read_text()
    quantize_dynamic(
        path,
        output,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=not vnni,
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )


def main():
    source, output = Path(sys.argv[1]), Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(len(os.sched_getaffinity(0)))

    encoder = AutoModel.from_pretrained(source, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.randint(1, encoder.config.vocab_size, (2, 16))
    model = SentenceEncoder(encoder)
    f32 = {name: output / f"{name}.f32.onnx" for name in ("masked", "unmasked", "fused")}
    export(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, f32["masked"])
    export(model, {"input_ids": ids}, f32["unmasked"])
    fused = optimizer.optimize_model(
        str(f32["masked"]),
        model_type="bert",
        num_heads=encoder.config.num_attention_heads,
        hidden_size=encoder.config.hidden_size,
        opt_level=0,
    )
    fused.save_model_to_file(str(f32["fused"]))
    for name, path in f32.items():
        quantise(path, output / f"{name}.int8.onnx")


main()
