"""coremltools' operator tests on the Core ML reference evaluator: how many of the values that they state it gives.

python -m bench.mil_operators --details details.txt

The wheel of coremltools carries its tests. Where a package comes without them, unpack the source
(pip download --no-binary :all: --no-deps coremltools==VERSION) and give the folder with --tests. They are
run in float32, with tolerances of 1e-4; --half runs them in float16, which Apple's tests judge roughly.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path

INSIDE = Path("converters/mil/mil/ops/tests")
# their operations are refused: recurrent layers, random numbers, control flow, state
LEFT_OUT = ("recurrent", "random", "control_flow", "states")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--tests", type=Path, help="a folder or file of tests instead of the installed ones")
    cli.add_argument("--half", action="store_true", help="programs in float16 instead of float32")
    cli.add_argument("--each", type=int, default=0, help="at most so many cases of each test function")
    cli.add_argument("--details", type=Path, default=Path(os.devnull), help="write what did not pass here")
    cli.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    args = cli.parse_args()
    # coremltools' tests read these when they are imported
    os.environ |= {"PYMIL_TEST_TARGETS": "mlprogram", "INCLUDE_MIL_FP32_UNIT_TESTS": "1"}
    import coremltools

    from bench._coremltools_tests import Results, run

    tests = args.tests or Path(coremltools.__file__).parent / INSIDE
    left_out = [f"--ignore-glob={tests.absolute()}/*test_{name}.py" for name in LEFT_OUT]
    with args.details.open("w") as details:
        results = Results(
            "fp16" if args.half else "fp32",
            args.each,
            lambda line: print(line[:1000], file=details, flush=True),
        )
        run(tests, results, [*left_out, *args.pytest])
    print(f"coremltools {coremltools.__version__}: {len(results.outcomes)} tests with stated values")
    counts = Counter(outcome for outcome, _ in results.outcomes.values())
    for outcome in ("passed", "refused", "wrong", "crashed"):
        print(f"  {counts[outcome]:5} {outcome}")
    reasons = Counter(why for outcome, why in results.outcomes.values() if outcome == "refused")
    for why, count in reasons.most_common():
        print(f"  {count:5} refused: {why}")
    equal = sum(results.folded.values())
    print(f"constants that coremltools folds: {equal} of {equal + len(results.unlike)} equal")
    print(f"tests without a prediction: {results.others}")


if __name__ == "__main__":
    main()
