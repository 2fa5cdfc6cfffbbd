"""One side of a comparison of GEMMs: a peer's product of one problem (see common/side.py).

usage: side.py PEER VARIANT FORMAT M N K hot|cold COPIES THREADS FOLDER

The output is checked against the product in f64 before anything is timed; a wrong one ends the program. What calling the
library from Python costs is measured on a product of next to nothing (1×32×32, in groups of 128 1×128×32).
"""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import side


def prepare(peer, variant, form, sizes, copies, threads, folder):
    """The product, checked, and nanoseconds of calling that are in each run of it."""
    operands = importlib.import_module("gemm.operands")
    module = importlib.import_module(f"gemm.peer_{peer}")
    data = operands.Operands(form, *sizes, folder)
    product = module.Product(variant, data, copies, threads)
    product.run()
    product.tolerance_used = data.check(product.output(), **product.checks)
    if not product.calls:
        return product, 0
    small = operands.Operands(form, 1, 32, max(32, operands.group_size(form) or 0), folder)
    return product, product.calls * side.call_nanoseconds(module.Product(variant, small, 1, threads).run)


def main():
    peer, variant, form, *sizes, state, copies, threads, folder = sys.argv[1:]
    sizes, threads, copies = list(map(int, sizes)), int(threads), int(copies) if state == "cold" else 1
    side.drive(peer, variant, threads, lambda: prepare(peer, variant, form, sizes, copies, threads, folder))


main()
