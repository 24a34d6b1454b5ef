"""The interval of one share, such as a sensitivity, that stays sound at 0 and 1 and among groups."""

import numpy as np
from scipy.stats import beta, t

LEVEL = 0.95
Interval = list[float] | None  # lower and upper limit


def share(hit: np.ndarray) -> float | None:
    """Mean of bool (n,), None if there is none."""
    return float(hit.mean()) if len(hit) else None


def share_interval(hit: np.ndarray, units: np.ndarray, level: float = LEVEL) -> Interval:
    """Clopper and Pearson's exact interval of the share of `hit`, bool (n,), for as many images as groups are worth.

    That number is n divided by the design effect, the variance among whole `units` (n,) over that among images, and
    lowered for few units (Korn and Graubard, Survey Methodology 24:193, 1998). Without groups it is n. Of a share of 0
    or 1, whose variance is 0, each unit counts once. None of fewer than two units.
    """
    codes = np.unique(units.astype(str), return_inverse=True)[1]
    n, groups, mean = len(hit), int(codes.max(initial=-1)) + 1, share(hit)
    if mean is None or groups < 2:
        return None
    worth = float(groups) if mean in (0, 1) else _worth(hit, codes, mean) * _few(n, groups, level)
    found = mean * worth
    low = beta.ppf((1 - level) / 2, found, worth - found + 1) if found else 0.0
    high = beta.ppf((1 + level) / 2, found + 1, worth - found) if found < worth else 1.0
    return [float(low), float(high)]


def mean_share_interval(hit: np.ndarray, of: np.ndarray, units: np.ndarray, level: float = LEVEL) -> Interval:
    """An interval of the mean of the shares of `hit` in each class of `of` (n,), such as a balanced accuracy.

    Of all images if all are hit or none, else the mean of the classes' exact intervals, which is wider than one of the
    mean. None if a class has none.
    """
    if hit.all() or not hit.any():
        return share_interval(hit, units, level)
    limits = [share_interval(hit[of == one], units[of == one], level) for one in np.unique(of)]
    known = [each for each in limits if each is not None]
    return np.mean(known, axis=0).tolist() if len(known) == len(limits) else None


def _worth(hit: np.ndarray, codes: np.ndarray, mean: float) -> float:
    """Images divided by the design effect, which is taken for 1 where units tell more than images."""
    n, residuals = len(hit), np.bincount(codes, hit - mean)
    among_units = len(residuals) / (len(residuals) - 1) * (residuals**2).sum() / n**2
    return float(n / max(1.0, among_units / (mean * (1 - mean) / (n - 1))))


def _few(n: int, groups: int, level: float) -> float:
    quantile = (1 + level) / 2
    return float((t.ppf(quantile, n - 1) / t.ppf(quantile, groups - 1)) ** 2)
