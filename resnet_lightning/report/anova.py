"""How much of the variance of a number each of several factors explains. numpy and scipy are imported when needed."""

from collections.abc import Iterable

ROUNDING = 1e-12  # a smaller sum of squares is none: one image in 100,000 gives 1e-10
Factors = dict[str, list[int]]  # for each key the number of the level of every run


def variance_shares(factors: Factors, values: list[float]) -> dict[str, tuple[float | None, float | None]]:
    """Share of the variance (0 to 1) and p value of each factor in an additive model; None where nothing can tell.

    Args:
        values: of every run.
    """
    if not factors:
        return {}
    from scipy.special import fdtrc  # scipy.stats.f.sf; that module takes a second or two to import

    (total, _), (residual, rank) = fit(factors, [], values), fit(factors, factors, values)
    freedom = len(values) - rank
    shares: dict[str, tuple[float | None, float | None]] = {}
    for key in factors:
        without, rank_without = fit(factors, [other for other in factors if other != key], values)
        terms = rank - rank_without
        if total < ROUNDING or terms == 0 or freedom == 0:
            shares[key] = (None, None)
            continue
        explained = max(without - residual, 0.0)
        exact = residual < ROUNDING
        p_value = None if exact else float(fdtrc(terms, freedom, explained / terms / (residual / freedom)))
        shares[key] = (min(explained / total, 1.0), p_value)
    return shares


def fit(factors: Factors, keys: Iterable[str], values: list[float]) -> tuple[float, int]:
    """Residual sum of squares and rank of the additive model of some of the factors, by least squares."""
    import numpy as np

    indicators = [np.eye(max(factors[key]) + 1)[factors[key]][:, 1:] for key in keys]
    design = np.hstack([np.ones((len(values), 1)), *indicators])
    solution, _, rank, _ = np.linalg.lstsq(design, np.array(values), rcond=None)
    return float(np.square(design @ solution - values).sum()), int(rank)
