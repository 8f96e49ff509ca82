from __future__ import annotations

import math

import pytest
from scipy import optimize, stats

from edgevit.validate.statistics import (
    detectable_drop,
    drop_bounds,
    drop_interval,
    images_needed,
    images_to_decide,
    smallest_limit,
    tango_score,
    wilson_interval,
)


def test_the_interval_of_a_published_example() -> None:
    # Bentur et al. 2009 in Fagerland, Lydersen, Laake, Statistics in Medicine 33, 2850-2875, 2014:
    # 21 patients, 1 and 7 discordant, Tango's interval -0.517 to -0.026.
    low, high = drop_interval(1, 7, 21)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize(
    ("lost", "gained", "n"), [(12, 2, 50), (3, 9, 40), (0, 4, 30), (6, 0, 25), (5, 5, 20)]
)
@pytest.mark.parametrize("drop", [-0.3, -0.05, 0.02, 0.4])
def test_the_statistic_against_a_numerical_maximum_likelihood(
    lost: int, gained: int, n: int, drop: float
) -> None:
    def loss(gain: float) -> float:
        same = 1 - 2 * gain - drop
        terms = ((lost, gain + drop), (gained, gain), (n - lost - gained, same))
        return -sum(count * math.log(p) for count, p in terms if count)

    low, high = max(0.0, -drop) + 1e-12, (1 - drop) / 2 - 1e-12
    q = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    expected = (lost - gained - n * drop) / math.sqrt(n * (2 * q + drop - drop * drop))
    assert tango_score(lost, gained, n, drop) == pytest.approx(expected, rel=1e-4)


def test_no_discordant_image_leaves_the_bound_of_the_sample_size() -> None:
    # Without discordant images the statistic is -sqrt(n d / (1 - d)), so d = z^2 / (n + z^2).
    z = stats.norm.ppf(0.95)
    low, high = drop_bounds(0, 0, 2000)
    assert high == pytest.approx(z * z / (2000 + z * z), rel=1e-9)
    assert low == -high


def test_exchanging_the_models_mirrors_the_interval() -> None:
    low, high = drop_interval(9, 4, 100)
    assert drop_interval(4, 9, 100) == (-high, -low)


def test_the_ends_of_the_range() -> None:
    assert drop_interval(5, 0, 5)[1] == 1.0
    assert drop_interval(0, 5, 5)[0] == -1.0


def test_the_one_sided_bounds_are_those_of_the_90_percent_interval() -> None:
    assert drop_bounds(9, 4, 100) == pytest.approx(drop_interval(9, 4, 100, 0.9))


def test_coverage_by_enumeration_is_near_95_percent() -> None:
    n, p_lost, p_gained = 40, 0.12, 0.05
    covered = 0.0
    for lost in range(n + 1):
        for gained in range(n + 1 - lost):
            probability = stats.multinomial.pmf(
                [lost, gained, n - lost - gained], n, [p_lost, p_gained, 1 - p_lost - p_gained]
            )
            if probability > 1e-9:
                low, high = drop_interval(lost, gained, n)
                covered += probability * (low <= p_lost - p_gained <= high)
    assert 0.93 < covered < 0.975


@pytest.mark.parametrize(("lost", "gained", "n"), [(0, 0, 0), (-1, 0, 5), (3, 3, 5)])
def test_impossible_counts_are_refused(lost: int, gained: int, n: int) -> None:
    with pytest.raises(ValueError, match="impossible counts"):
        drop_interval(lost, gained, n)


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    [  # Newcombe, Statistics in Medicine 17, 857-872, 1998, table I, method 3
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_against_the_published_table(successes: int, n: int, expected: tuple[float, float]) -> None:
    low, high = wilson_interval(successes, n)
    assert (round(low, 4), round(high, 4)) == expected


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (7, 7), (3, 7), (1870, 2000)])
def test_wilson_against_scipy(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_detectable_drop_satisfies_the_sample_size_formula() -> None:
    drop = detectable_drop(60, 2000)
    share = 60 / 2000
    needed = stats.norm.ppf(0.95) * math.sqrt(share) + stats.norm.ppf(0.8) * math.sqrt(share - drop**2)
    assert needed**2 / drop**2 == pytest.approx(2000)


def test_without_discordant_images_the_drop_itself_is_the_share() -> None:
    drop = detectable_drop(0, 2000)
    needed = stats.norm.ppf(0.95) * math.sqrt(drop) + stats.norm.ppf(0.8) * math.sqrt(drop - drop**2)
    assert needed**2 / drop**2 == pytest.approx(2000)


def test_two_images_detect_nothing() -> None:
    assert detectable_drop(0, 2) == 1.0


def test_more_images_detect_smaller_drops() -> None:
    assert detectable_drop(10, 1000) < detectable_drop(1, 100)


@pytest.mark.parametrize("limit", [0.001, 0.0025, 0.005, 0.01, 0.02, 0.1, 0.35, 0.9, 1.0])
def test_the_least_number_of_images_is_where_the_bound_of_an_unchanged_file_reaches_the_limit(
    limit: float,
) -> None:
    n = images_needed(limit)
    assert n is not None and drop_bounds(0, 0, n)[1] <= limit
    assert n == 1 or drop_bounds(0, 0, n - 1)[1] > limit
    assert smallest_limit(n) <= limit < (smallest_limit(n - 1) if n > 1 else 2)


def test_known_numbers_of_images() -> None:
    assert [images_needed(limit) for limit in (0.005, 0.01, 0.001, 0.0)] == [539, 268, 2703, None]
    assert smallest_limit(200) == pytest.approx(drop_bounds(0, 0, 200)[1], rel=1e-9)


@pytest.mark.parametrize(
    ("lost", "gained", "n", "limit"),
    [(2, 0, 200, 0.02), (5, 3, 500, 0.01), (4, 1, 300, 0.005), (12, 4, 1000, 0.015), (0, 0, 100, 0.01)],
)
def test_images_to_decide_against_a_search_with_the_bounds(
    lost: int, gained: int, n: int, limit: float
) -> None:
    """Whole multiples of the counts: the first that is decided lies at the number that was named."""
    low, high = drop_bounds(lost, gained, n)
    assert low <= limit < high, "undecided so far"
    needed = images_to_decide(lost, gained, n, limit)
    assert needed is not None and needed > n
    for k in range(2, 10_000):
        low, high = drop_bounds(k * lost, k * gained, k * n)
        if high <= limit or low > limit:
            break
    assert (k - 1) * n < needed <= k * n


def test_a_drop_that_is_the_limit_is_decided_by_no_number() -> None:
    assert images_to_decide(5, 0, 500, 0.01) is None
    assert images_to_decide(0, 0, 500, 0.0) is None
