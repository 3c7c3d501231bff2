"""`QuantizedModel`: what `quantize` returns."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sanderling._model import Model
from sanderling.errors import InputError
from sanderling.quantization._report import Report


class QuantizedModel(Model):
    """An int8 ONNX model with QDQ nodes, and how it came about. Goes wherever a `Model` goes."""

    def __init__(self, data: bytes, report: Report) -> None:
        """Parses `data`, the bytes of the quantized ONNX file."""
        super().__init__(data)
        self._report = report

    @property
    def report(self) -> Report:
        """Per layer: dtype and why, ranges, clipped share, signal to noise; `print` it, or take `to_dict()`."""
        return self._report

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the ONNX file so that `path` holds the old file or all of the new one, whatever happens.

        Returns:
            The path.

        Raises:
            InputError: The file cannot be written.
        """
        target = Path(path)
        try:
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(self.bytes)
                    file.flush()
                    os.fsync(file.fileno())
                # mkstemp makes 0600; a model file gets what any new file here would get.
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(name, 0o666 & ~umask)
                os.replace(name, target)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            raise InputError(f"[save] cannot write {str(target)!r}: {error.strerror}. Check the folder") from error
        return target

    def __repr__(self) -> str:
        counts = self._report
        return f"Quantized{super().__repr__()[:-1]}; {counts.int8_layers} layers int8, {counts.float_layers} float32)"
