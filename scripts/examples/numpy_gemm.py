#!/usr/bin/env python3
"""numpy's matrix product as one side of `wallclock bench compare`: C[M×N] = A[M×K] · W, f32.

usage: numpy_gemm.py M N K

Set OPENBLAS_NUM_THREADS (or what numpy's BLAS reads) to the threads Wallclock has:

  wallclock bench compare default "exec:OPENBLAS_NUM_THREADS=1 python3 scripts/examples/numpy_gemm.py 128 1536 384" \
    --op gemm --m 128 --n 1536 --k 384
"""

import sys

import numpy
from sample_protocol import serve


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    m, n, k = map(int, sys.argv[1:])
    random = numpy.random.default_rng(1)
    a = random.standard_normal((m, k), dtype=numpy.float32)
    w = random.standard_normal((k, n), dtype=numpy.float32)
    c = numpy.empty((m, n), dtype=numpy.float32)
    serve(f"numpy {numpy.__version__} {m}x{n}x{k}", lambda: numpy.matmul(a, w, out=c))


main()
