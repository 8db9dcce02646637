"""Random questions for the kernels' PTX: ``python tests/ptx/fuzz.py [--cases 300] [--seed 0]``.

Prints every question that fails, with what is wrong, and ends with 1 if one did.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from ptxsim.memory import Fault
from ptxsim.questions import random_question


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    start, wrong, kernels = time.monotonic(), 0, set()
    for number in range(args.cases):
        seed = args.seed + number
        question = random_question(np.random.default_rng(seed), seed)
        try:
            kernels |= set(question.check().report.kernels)
        except (AssertionError, Fault, RuntimeError) as error:
            wrong += 1
            print(f"seed {seed}: {question}\n    {type(error).__name__}: {error}", flush=True)
        if number % 25 == 24:
            print(f"{number + 1} questions, {wrong} wrong, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{args.cases} questions from seed {args.seed}: {wrong} wrong, {len(kernels)} kernels ran")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
