"""What the demo's trainer gains and loses, as int8, on rows that trained nothing: medians over seeds 0-4."""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import pytest

import sanderling
from sanderling_devices.demo import digits, measure, retrain_digits
from sanderling_devices.demo.train_digits import MODEL_PATH

LABELS, WRONG, UNIFORM = 200, 10, 40
"""At most 200 labels of which 5 % are wrong; 40 of them are the gate's and train nothing."""


@dataclass
class Samples:
    inputs: dict
    labels: np.ndarray


@dataclass
class Context:
    samples: Samples
    workdir: Path
    progress: list = field(default_factory=list)

    def report(self, progress, text=""):
        self.progress.append(progress)


def labelled(parts, change, seed):
    generator = np.random.default_rng([seed, 9])
    frames = np.concatenate([camera.frames for camera in parts.cameras])
    truth = np.concatenate([camera.labels for camera in parts.cameras])
    index = generator.choice(len(frames), LABELS, replace=False)
    labels = truth[index].copy()
    wrong = generator.choice(LABELS, WRONG, replace=False)
    labels[wrong] = (labels[wrong] + generator.integers(1, 10, WRONG)) % 10
    return Samples({"image": digits.CHANGES[change](frames[index])[UNIFORM:]}, labels[UNIFORM:])


def figures(change, seed, folder):
    """Accuracy of v1 and v2, both int8: clean and changed."""
    parts = digits.split(seed)
    context = Context(labelled(parts, change, seed), folder)
    v2 = retrain_digits.train(context)
    assert context.progress == sorted(context.progress)
    calibration = np.concatenate([parts.reference.frames, context.samples.inputs["image"]])
    found = []
    for model, rows in ((MODEL_PATH, parts.reference.frames), (v2, calibration)):
        with sanderling.Session(sanderling.quantize(model, rows)) as session:
            changed = digits.Rows(digits.CHANGES[change](parts.held_out.frames), parts.held_out.labels)
            found += [measure.accuracy(session.run, parts.held_out), measure.accuracy(session.run, changed)]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("change", "gain"), [("turn30", 0.20), ("shift", 0.05)])
def test_v2_gains_on_the_changed_world_and_keeps_the_old_one(change, gain, tmp_path):
    rows = [figures(change, seed, tmp_path) for seed in range(5)]
    clean, changed, clean2, changed2 = (median(column) for column in zip(*rows, strict=True))
    print(f"{change}: clean {clean:.3f} -> {clean2:.3f}, changed {changed:.3f} -> {changed2:.3f}")
    assert median(row[3] - row[1] for row in rows) >= gain
    assert median(row[0] - row[2] for row in rows) <= 0.02


def test_one_seed_of_turned_images(tmp_path):
    clean, changed, clean2, changed2 = figures("turn30", 0, tmp_path)
    assert changed2 - changed >= 0.20
    assert clean - clean2 <= 0.02


def test_samples_without_a_digit_are_no_obstacle(tmp_path):
    parts = digits.split(0)
    context = Context(Samples({"image": parts.cameras[0].frames[:3]}, parts.cameras[0].labels[:3]), tmp_path)
    assert sanderling.load(retrain_digits.train(context)).inputs[0].name == "image"
