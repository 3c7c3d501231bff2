"""golden.npz: samples with the answers that a version must give on every device.

An .npz without pickle. Each array's name is "in:" or "out:" and the name of the model's input or output; axis 0 of all
of them is the sample, and all have as many. So a model image [N, 1, 8, 8] -> digit [N, 10] with eight samples has

    in:image    float32 [8, 1, 8, 8]
    out:digit   float32 [8, 10]

Each sample is run as a batch of its own. An answer is right when it has the dtype and shape of the golden one and no
element is further from it than the manifest's golden_tolerance; NaN equals NaN.

Not imported by the package, which needs no NumPy.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sanderling.errors import IntegrityError

Array = npt.NDArray[Any]
_IN, _OUT = "in:", "out:"


@dataclass(frozen=True, eq=False)
class Golden:
    """Golden samples: inputs and outputs by name, axis 0 of each is the sample.

    Raises:
        IntegrityError: There is no input, output or sample, or the arrays differ in the number of samples.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]

    def __post_init__(self) -> None:
        """Checks that all arrays have the same samples."""
        sizes = {name: len(array) if array.ndim else 0 for name, array in (*self.inputs.items(), *self.outputs.items())}
        if not self.inputs or not self.outputs or len(set(sizes.values())) != 1 or 0 in sizes.values():
            raise IntegrityError(f"[golden] samples by array: {sizes}. Give inputs and outputs of the same samples")

    def __len__(self) -> int:
        """How many samples."""
        return len(next(iter(self.inputs.values())))

    def sample(self, index: int) -> dict[str, Array]:
        """The inputs of one sample, as a batch of one."""
        return {name: np.ascontiguousarray(array[index : index + 1]) for name, array in self.inputs.items()}

    def wrong(self, index: int, answer: Mapping[str, Array], tolerance: float) -> str | None:
        """What is wrong with an answer to one sample, with both values; None if it is right."""
        for name, wanted in self.outputs.items():
            golden, got = wanted[index : index + 1], answer.get(name)
            if got is None:
                return f"sample {index}: no output {name!r}, there are {sorted(answer)}"
            if got.dtype != golden.dtype or got.shape != golden.shape:
                return (
                    f"sample {index}: {name!r} is {got.dtype}{list(got.shape)}, "
                    f"the golden one is {golden.dtype}{list(golden.shape)}"
                )
            far = _distances(got, golden)
            if far.size and not float(far.max()) <= tolerance:
                worst = np.unravel_index(int(far.argmax()), far.shape)
                return (
                    f"sample {index}: {name}{[int(i) for i in worst[1:]]} is {got[worst]!s}, "
                    f"the golden one is {golden[worst]!s}, tolerance {tolerance:g}"
                )
        return None


def write_golden(golden: Golden) -> bytes:
    """Writes the file; the same samples give the same bytes."""
    arrays = {_IN + name: array for name, array in golden.inputs.items()}
    arrays |= {_OUT + name: array for name, array in golden.outputs.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted(arrays.items()):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue())
    return stream.getvalue()


def read_golden(data: bytes) -> Golden:
    """Reads what `write_golden` wrote.

    Raises:
        IntegrityError: The bytes are damaged, or an array's name is not of the format.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds on damaged bytes
        raise IntegrityError(f"[golden] damaged bytes: {error!r}. Fetch the version again") from error
    strange = [name for name in arrays if not name.startswith((_IN, _OUT))]
    if strange:
        raise IntegrityError(f"[golden] array {strange[0]!r}, names begin with 'in:' or 'out:'")
    return Golden(
        {name.removeprefix(_IN): array for name, array in arrays.items() if name.startswith(_IN)},
        {name.removeprefix(_OUT): array for name, array in arrays.items() if name.startswith(_OUT)},
    )


def _distances(got: Array, golden: Array) -> Array:
    """Absolute differences in float64; 0 where both are NaN or the same infinity, infinite where only one is NaN."""
    a, b = got.astype(np.float64), golden.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        return np.where(same, 0.0, np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf))
