"""How likely the target is to reject a draft, predicted from its uncertainty; and thresholds (design 2.4)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cuhlm.errors import ConfigurationError
from cuhlm.messages import Array
from cuhlm.theory import verification

Floats = npt.NDArray[np.float64]


def rejection_probability(draft_probs: Array, target_probs: Array, token: int) -> float:
    """β = max(0, 1 − y_d / x_d) of the token d, from x and y of shape (|V|,)."""
    return verification.rejection(float(draft_probs[token]), float(target_probs[token]))


@dataclass(frozen=True, slots=True)
class RejectionModel:
    """Least squares E[β | u] ≈ a·u + b, and how well it fits.

    Attributes:
        a: slope.
        b: intercept.
        pearson_r: correlation of u and β; NaN where one of them does not vary.
        r_squared: share of the variance of β that the line explains; NaN likewise.
        n: calibration tokens.
        residual_std: standard deviation of β about the line, with n − 2 degrees of freedom.
    """

    a: float
    b: float
    pearson_r: float = float("nan")
    r_squared: float = float("nan")
    n: int = 0
    residual_std: float = float("nan")

    def predict(self, u: float) -> float:
        """β̂ = clip(a·u + b, 0, 1)."""
        return min(1.0, max(0.0, self.a * u + self.b))

    def predict_all(self, u: Floats) -> Floats:
        """`predict` for an array of any shape."""
        return np.clip(self.a * u + self.b, 0.0, 1.0)


def fit_rejection(u: Floats, beta: Floats) -> RejectionModel:
    """Fit the line to calibration tokens.

    Args:
        u: uncertainties, shape (n,).
        beta: rejection probabilities, shape (n,).

    Raises:
        ConfigurationError: fewer than 3 tokens, or all with the same u: no line is determined.
    """
    u, beta = np.asarray(u, dtype=np.float64), np.asarray(beta, dtype=np.float64)
    du, dbeta = u - u.mean() if u.size else u, beta - beta.mean() if beta.size else beta
    suu, sbb, sub = float(du @ du), float(dbeta @ dbeta), float(du @ dbeta)
    if u.size < 3 or suu == 0.0:
        raise ConfigurationError(
            f"{u.size} calibration tokens with {np.unique(u).size} different uncertainties; "
            "expected at least 3 tokens that differ: calibrate on more text"
        )
    a = sub / suu
    b = float(beta.mean() - a * u.mean())
    r = sub / np.sqrt(suu * sbb) if sbb > 0 else float("nan")
    residuals = beta - (a * u + b)
    spread = float(np.sqrt(residuals @ residuals / (u.size - 2)))
    return RejectionModel(a, b, float(r), float(r * r), u.size, spread)


def risk_averse_threshold(model: RejectionModel) -> float:
    """u_th = −b / a: skip only where the predicted rejection probability is 0.

    NaN where a ≤ 0: β does not grow with u, so no threshold on u bounds the risk. A gate skips iff u ≤ u_th, hence
    NaN skips nothing.
    """
    return risk_prone_threshold(model, 0.0)


def risk_prone_threshold(model: RejectionModel, delta: float) -> float:
    """u_th = (Δ − b) / a: skip where the predicted rejection probability is at most Δ; NaN where a ≤ 0."""
    return (delta - model.b) / model.a if model.a > 0 else float("nan")


def threshold_at(u: Floats, beta: Floats, risk: float) -> float:
    """The highest u_th whose skipped tokens have a mean β of at most `risk`; −1 (skip nothing) where there is none.

    Args:
        u: uncertainties, or another score of at least 0, shape (n,).
        beta: what is risked with each token, shape (n,).
        risk: bound on its mean.
    """
    order = np.argsort(u, kind="stable")
    sorted_u = u[order]
    means = np.cumsum(beta[order]) / np.arange(1, len(u) + 1)
    last_of_group = np.append(sorted_u[1:] != sorted_u[:-1], True)
    fitting = np.flatnonzero(last_of_group & (means <= risk))
    return float(sorted_u[fitting[-1]]) if fitting.size else -1.0
