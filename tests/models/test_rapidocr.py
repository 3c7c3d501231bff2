"""The three models in rapidocr-onnxruntime on drawn text: which way up, where it stands, what it says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from tests.models.beside import Array, check, package_folder

import onnx

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: `make models` does it")
ImageDraw = pytest.importorskip("PIL.ImageDraw")
ImageFont = pytest.importorskip("PIL.ImageFont")

LINES = ["PUMP 7 RUNS HOT", "Valve closed at 14:32", "Serial no. 88-1043-B", "Exit", "kilowatt hours 0.925"]


@cache
def model(file: str) -> bytes:
    return (package_folder("rapidocr_onnxruntime", "rapidocr-onnxruntime") / "models" / file).read_bytes()


def classifier() -> bytes:
    return model("ch_ppocr_mobile_v2.0_cls_infer.onnx")


def line(text: str, height: int = 48) -> Array:
    """uint8 [height, width, 3]: dark text on light paper, with the noise of a camera."""
    font = ImageFont.load_default(height * 0.68)
    width = int(font.getlength(text)) + height // 2
    image = Image.new("RGB", (width, height), (226, 222, 214))
    ImageDraw.Draw(image).text((height // 4, height // 2), text, (38, 36, 52), font=font, anchor="lm")
    return noisy(np.asarray(image))


def noisy(image: Array) -> Array:
    noise = np.random.default_rng(image.size).normal(0, 3, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def page(height: int, width: int) -> tuple[Array, list[tuple[int, int, int, int]]]:
    """uint8 [height, width, 3] with lines of text on it, and their boxes: left, top, right, bottom."""
    image = Image.new("RGB", (width, height), (235, 233, 228))
    draw = ImageDraw.Draw(image)
    boxes, top = [], 16
    for i, text in enumerate(LINES):
        font = ImageFont.load_default(18 + 6 * (i % 3))
        if top + 50 > height or font.getlength(text) + 24 > width:
            continue
        draw.text((16, top), text, (30, 30, 60 + 30 * i), font=font)
        boxes.append(draw.textbbox((16, top), text, font=font))
        top += 56
    return noisy(np.asarray(image)), boxes


def normal(image: Array) -> Array:
    """float32 [3, height, width] in [-1, 1]."""
    return (image.transpose(2, 0, 1).astype(np.float32) / 255 - 0.5) / 0.5


def padded(image: Array, width: int) -> Array:
    """`normal`, shrunk where wider, with zeros to its right where narrower: as rapidocr gives both line models."""
    if image.shape[1] > width:
        image = np.asarray(Image.fromarray(image).resize((width, image.shape[0]), Image.Resampling.BILINEAR))
    return np.pad(normal(image), [(0, 0), (0, 0), (0, width - image.shape[1])])


def test_which_way_up() -> None:
    upright = [line(text) for text in LINES]
    batch = np.stack([padded(image, 192) for image in upright + [np.ascontiguousarray(i[::-1, ::-1]) for i in upright]])
    feeds = [{"x": batch}, *({"x": row[None]} for row in batch)]
    whole, *single = (next(iter(outputs.values())) for outputs in check(classifier(), feeds))
    np.testing.assert_allclose(np.concatenate(single), whole, atol=1e-4)
    assert (whole.argmax(1) == [0] * len(LINES) + [1] * len(LINES)).mean() >= 0.8


@pytest.mark.parametrize("size", [(40, 100), (48, 320), (64, 200)], ids=str)
def test_which_way_up_at_other_sizes(size: tuple[int, int]) -> None:
    check(classifier(), [{"x": padded(line(text, size[0]), size[1])[None]} for text in LINES])


def read(probabilities: Array) -> list[str]:
    """Texts of a batch: the likeliest character of each place, repetitions and blanks (0) left out."""
    metadata = onnx.load_from_string(model("ch_PP-OCRv4_rec_infer.onnx")).metadata_props
    characters = next(entry.value for entry in metadata if entry.key == "character").splitlines()
    alphabet = ["", *characters, " "]
    texts = []
    for row in probabilities.argmax(2):
        changes = np.concatenate([[True], row[1:] != row[:-1]])
        texts.append("".join(alphabet[i] for i in row[changes]).strip())
    return texts


@pytest.mark.slow
def test_what_it_says() -> None:
    """One line at a time, each of its own width; then all as one batch."""
    data = model("ch_PP-OCRv4_rec_infer.onnx")
    images = [line(text) for text in LINES]
    widest = max(image.shape[1] for image in images)
    batch = np.stack([padded(image, widest) for image in images])
    feeds = [{"x": normal(image)[None]} for image in images] + [{"x": batch}]
    wanted = [next(iter(outputs.values())) for outputs in check(data, feeds)]
    assert [read(one)[0] for one in wanted[:-1]] == LINES
    assert read(wanted[-1]) == LINES


@pytest.mark.parametrize("size", [(160, 320), (320, 480), (352, 256)], ids=str)
def test_where_it_stands(size: tuple[int, int]) -> None:
    image, boxes = page(*size)
    assert boxes
    (wanted,) = check(model("ch_PP-OCRv4_det_infer.onnx"), [{"x": normal(image)[None]}])
    found = next(iter(wanted.values()))[0, 0] > 0.3
    assert found.shape == size
    outside = np.ones(size, bool)
    for left, top, right, bottom in boxes:
        middle = found[(top + bottom) // 2, left:right]
        assert middle.mean() > 0.7, f"the line at {top} is not found"
        outside[max(0, top - 12) : bottom + 12, : right + 12] = False
    assert found[outside].mean() < 0.01
