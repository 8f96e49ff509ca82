"""coremltools' operator tests on the Core ML reference evaluator.

python -m bench.mil_operators

The wheel of coremltools carries its tests. Where a package comes without them, unpack the source:
pip download --no-binary :all: --no-deps coremltools==VERSION, and give the folder with --tests.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path

# their operations are refused: recurrent layers, random numbers, control flow, state
LEFT_OUT = ("recurrent", "random", "control_flow", "states")
INSIDE = Path("converters/mil/mil/ops/tests")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--tests", type=Path, help="folder of tests, instead of those of the installed package")
    cli.add_argument("--details", action="store_true", help="print every case that is not passed")
    cli.add_argument("pytest", nargs="*", help="further arguments for pytest, after --")
    args = cli.parse_args()
    # read by coremltools' tests when they are imported
    os.environ |= {"PYMIL_TEST_TARGETS": "mlprogram", "INCLUDE_MIL_FP32_UNIT_TESTS": "1"}
    import coremltools

    from bench._coremltools_tests import Results, run

    results = Results()
    run(args.tests or Path(coremltools.__file__).parent / INSIDE, results, [*(f"--ignore-glob=*test_{n}.py" for n in LEFT_OUT), *args.pytest])
    counts = Counter(outcome for outcome, _ in results.outcomes.values())
    print(f"coremltools {coremltools.__version__}: {len(results.outcomes)} tests with stated values")
    for outcome in ("passed", "refused", "wrong", "crashed"):
        print(f"  {outcome:8} {counts[outcome]}")
    for reason, count in Counter(
        why for what, why in results.outcomes.values() if what == "refused"
    ).most_common():
        print(f"  refused {count:5}  {reason}")
    print(
        f"constants that coremltools folds: {sum(results.folded.values())} equal of "
        f"{sum(results.folded.values()) + len(results.unlike)}, {len(results.folded)} operations"
    )
    print(f"without a value: {results.others}")
    if args.details:
        for test, (outcome, why) in results.outcomes.items():
            if outcome != "passed":
                print(f"{outcome} {test.rsplit('/', 2)[-1]}: {why[:600]}")
        for operation, why in results.unlike:
            print(f"unlike {operation}: {why[:600]}")


if __name__ == "__main__":
    main()
