#!/usr/bin/env python3
"""The sum of N numbers in plain Python, as the least there is to a side of `wallclock bench compare`.

usage: python_sum.py N

  wallclock bench compare "exec:python3 scripts/examples/python_sum.py 200000" \
    "exec:python3 scripts/examples/python_sum.py 100000"
"""

import sys

from sample_protocol import serve


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    numbers = list(range(int(sys.argv[1])))
    serve(f"python {sys.version.split()[0]}, {len(numbers)} numbers", lambda: sum(numbers))


main()
