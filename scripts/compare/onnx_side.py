"""ONNX Runtime as one side of a comparison, driven over a pipe.

usage: onnx_side.py MODEL.onnx TOKENIZER.json THREADS BATCH TOKENS

Says `ready <name>`; answers `run` with `ns <elapsed>` after one pass over random token ids, `embed TEXT`
with the embedding as JSON; ends at `quit` or the end of the input.
"""

import json
import sys
import time

import numpy
import onnxruntime
from tokenizers import Tokenizer


def main():
    path, tokenizer_path = sys.argv[1:3]
    threads, batch, tokens = map(int, sys.argv[3:6])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    types = {i.name: numpy.int32 if "int32" in i.type else numpy.int64 for i in session.get_inputs()}

    def feed(ids):
        values = {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}
        return {name: values[name].astype(kind) for name, kind in types.items()}

    sample = feed(numpy.random.default_rng(1).integers(1000, 20000, (batch, tokens)))
    print(f"ready onnxruntime {onnxruntime.__version__}", flush=True)
    for line in sys.stdin:
        command, _, text = line.rstrip("\n").partition(" ")
        if command == "run":
            begin = time.perf_counter_ns()
            session.run(None, sample)
            print(f"ns {time.perf_counter_ns() - begin}", flush=True)
        elif command == "embed":
            tokenizer = Tokenizer.from_file(tokenizer_path)
            tokenizer.no_padding()
            tokenizer.no_truncation()
            ids = numpy.array([tokenizer.encode(text).ids])
            print(json.dumps(session.run(None, feed(ids))[0][0].tolist()), flush=True)
        else:
            break


main()
