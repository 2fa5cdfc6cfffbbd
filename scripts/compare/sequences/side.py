"""One side of a comparison of ops on sequences: a peer's way of computing one problem (see common/side.py).

usage: side.py PEER VARIANT PROBLEM COPIES THREADS FOLDER

PROBLEM is a line of a .shapes file. Outputs, and the state left behind, are checked against the definition in f64 before
anything is timed; wrong ones end the program. What calling the library from Python costs is measured on one token, one head.
"""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import side
from sequences.problem import Problem


def prepare(peer, variant, problem, copies, threads, folder):
    """The product, checked, and nanoseconds of calling that are in each run of it."""
    operands = importlib.import_module("sequences.operands")
    module = importlib.import_module(f"sequences.peer_{peer}")
    data = operands.Operands(problem)
    product = module.Product(variant, problem, data, copies, threads)
    product.run()
    product.tolerance_used = operands.check(problem, product.outputs(), data, folder)
    if not product.calls:
        return product, 0
    small = problem.smallest()
    smallest = module.Product(variant, small, operands.Operands(small), 1, threads)
    return product, product.calls * side.call_nanoseconds(smallest.run)


def main():
    peer, variant, text, copies, threads, folder = sys.argv[1:]
    problem = Problem(text.split())
    side.drive(peer, variant, int(threads), lambda: prepare(peer, variant, problem, int(copies), int(threads), folder))


main()
