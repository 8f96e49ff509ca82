"""Regressions: Holm by hand, and what the verdicts do on images that are drawn, not computed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgevit.validate.regression import Pairs, holm, images_for, judge_drops, judge_means, p_of_drop

RUNS = 400


def drawn(random: np.random.Generator, n: int, drop: float, discordance: float) -> Pairs:
    """`n` images, of which a share `discordance` changes, so that accuracy falls by `drop`."""
    change = random.random(n)
    lost = (discordance + drop) / 2
    return Pairs(int((change < lost).sum()), int(((change >= lost) & (change < discordance)).sum()), n)


def test_holm_goes_on_as_long_as_the_smallest_p_value_is_small_enough() -> None:
    assert holm([0.01, 0.04, 0.03]) == (True, False, False)  # 0.01 <= 0.05/3, 0.03 > 0.05/2
    assert holm([0.04, 0.01, 0.02]) == (True, True, True)  # 0.05/3, 0.05/2, 0.05
    assert holm([0.02]) == (True,) and holm([0.06]) == (False,) and holm([]) == ()
    assert holm([0.016, 0.9, 0.9]) == (True, False, False)


def test_counts_that_anyone_would_call_the_same_way() -> None:
    same, worse, few = judge_drops([Pairs(0, 0, 2000), Pairs(90, 10, 2000), Pairs(1, 0, 60)], [0.01] * 3)
    assert (same.outcome, same.images_needed) == ("pass", None)
    assert worse.outcome == "regressed" and worse.drop == 0.04 and worse.bounds[0] > 0.01
    assert few.outcome == "inconclusive" and few.images_needed is not None and few.images_needed > 60
    assert p_of_drop(Pairs(20, 0, 2000), 0.01) == pytest.approx(0.5)
    # the other way round nothing is lost
    assert judge_drops([Pairs(10, 90, 2000)], [0.01])[0].outcome == "pass"


@pytest.mark.parametrize(("n", "discordance"), [(500, 0.03), (2000, 0.05)])
def test_files_as_bad_as_is_allowed_raise_few_false_alarms(n: int, discordance: float) -> None:
    """Six files whose true drop is the margin itself, the worst that is no regression."""
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(RUNS):
        found = judge_drops([drawn(random, n, 0.01, discordance) for _ in range(6)], [0.01] * 6)
        alarms += any(one.outcome == "regressed" for one in found)
    assert alarms / RUNS <= 0.05 + 3 * (0.05 * 0.95 / RUNS) ** 0.5


def test_so_many_images_as_are_told_show_it_as_often_as_is_told() -> None:
    random = np.random.default_rng(1)
    for margin, discordance in ((0.005, 0.02), (0.01, 0.05)):
        n = images_for(margin, discordance)
        shown = sum(
            judge_drops([drawn(random, n, 0.0, discordance)], [margin])[0].outcome == "pass"
            for _ in range(RUNS)
        )
        assert abs(shown / RUNS - 0.8) < 0.07, (margin, discordance, n)
    assert images_for(0.005, 0.02) > images_for(0.01, 0.02) > images_for(0.01, 0.01)
    for wrong in ((0.0, 0.1), (0.1, 0.0), (2.0, 0.1)):
        with pytest.raises(ValueError, match="fractions"):
            images_for(*wrong)


def test_a_mean_loss_is_judged_as_scipy_judges_it() -> None:
    random = np.random.default_rng(3)
    loss = random.normal(0.6, 2.0, 400)
    (found,) = judge_means([loss], [0.5])
    wanted = stats.ttest_1samp(loss, 0.5, alternative="greater")
    assert found.p_value == pytest.approx(wanted.pvalue)
    interval = stats.ttest_1samp(loss, 0.0).confidence_interval(0.9)
    assert found.bounds == pytest.approx((interval.low, interval.high))
    outcomes = [one.outcome for one in judge_means([loss, loss + 3, loss - 3, np.zeros(9)], [0.5] * 4)]
    assert outcomes == ["inconclusive", "regressed", "pass", "pass"]
    assert judge_means([np.full(9, 2.0)], [1.0])[0].outcome == "regressed"


def test_how_many_images_would_show_that_one_of_several_is_worse() -> None:
    """Seven files, one of them worse by 2.4 points; so many times the images, in the same shares, decide it."""
    checks = [Pairs(0, 0, 1000)] * 6 + [Pairs(42, 18, 1000)]
    found = judge_drops(checks, [0.01] * 7)[-1]
    assert found.outcome == "inconclusive" and found.bounds[0] > 0.01 and found.images_needed is not None
    for factor, outcome in ((0.95, "inconclusive"), (1.05, "regressed")):
        times = factor * found.images_needed / 1000
        more = Pairs(round(42 * times), round(18 * times), round(1000 * times))
        assert judge_drops([*checks[:6], more], [0.01] * 7)[-1].outcome == outcome
