"""How far a result may be from its reference: every bound of the operator tests stands here.

Float results are compared with float64 NumPy. The outer bound, which no operator may pass, is

    1e-4 * max|reference| + 1e-5

and inside it a result that sums `length` products may err by the classic forward bound of a float32 sum in any order,

    |error| <= (length + 3) * 2^-24 * magnitude

where `magnitude` is the largest sum of |terms| that makes one element (Higham, "Accuracy and Stability of Numerical
Algorithms", section 3.1; the 3 are the roundings of scale, bias and store). For an elementwise operator `length` is 1.

Codes (QDQ) are compared with the float64 meaning of the QDQ pattern: see `runner.Agreement`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FLOAT32_ROUNDING = 2.0**-24  # half the spacing of float32 just above 1

# QDQ: an element whose exact value is this close to a tie, in steps, may be rounded either way.
TIE_MARGIN = 2.0**-12
# QDQ: of the other elements at least this share must be equal, over at least so many pooled elements per operator.
EQUAL_SHARE = 0.9999
POOLED_ELEMENTS = 1_000_000


def outer_bound(reference: npt.NDArray[np.float64]) -> float:
    """The error that no float operator may pass, for one output."""
    finite = reference[np.isfinite(reference)]
    return 1e-4 * float(np.abs(finite).max(initial=0.0)) + 1e-5


def float_bound(reference: npt.NDArray[np.float64], length: int | None, magnitude: float | None) -> float:
    """The absolute error allowed for one float output.

    Args:
        reference: The float64 result.
        length: Terms summed per element; None for operators that state no more than the outer bound.
        magnitude: The largest sum of absolute terms per element; max|reference| if None.
    """
    outer = outer_bound(reference)
    if length is None:
        return outer
    if magnitude is None:
        finite = reference[np.isfinite(reference)]
        magnitude = float(np.abs(finite).max(initial=0.0))
    smallest = float(np.finfo(np.float32).tiny)
    return min(outer, (length + 3) * FLOAT32_ROUNDING * magnitude + smallest)
