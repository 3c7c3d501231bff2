"""What PyTorch models have beside plain layers: masks, scattering, control flow, windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Input:
    """Real numbers, or indices below `below`; extents with a name are dynamic."""

    shape: tuple[int | str, ...]
    below: int = 0

    def drawn(self, sizes: Mapping[str, int], generator: Any) -> Any:
        shape = tuple(sizes[d] if isinstance(d, str) else d for d in self.shape)
        if self.below:
            return torch.randint(0, self.below, shape, generator=generator)
        return torch.randn(shape, generator=generator)


class Calls(nn.Module):  # type: ignore[misc]
    """Calls a function with the layers that it has and what it is given."""

    def __init__(self, function: Callable[..., Any], parts: Sequence[Any]) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)


class One(Calls):
    def forward(self, a: Any) -> Any:
        return self.function(*self.parts, a)


class Two(Calls):
    def forward(self, a: Any, b: Any) -> Any:
        return self.function(*self.parts, a, b)


class Three(Calls):
    def forward(self, a: Any, b: Any, c: Any) -> Any:
        return self.function(*self.parts, a, b, c)


@dataclass(frozen=True)
class Module:
    """A function of its layers and inputs; `exporters` are those that can write it."""

    function: Callable[..., Any]
    inputs: Sequence[Input]
    parts: Callable[[], Sequence[Any]] = list
    exporters: Sequence[str] = ("torchscript", "dynamo")

    def build(self) -> Any:
        torch.manual_seed(0)
        return (One, Two, Three)[len(self.inputs) - 1](self.function, self.parts()).eval()


def real(*shape: int | str) -> Input:
    return Input(shape)


def below(limit: int, *shape: int | str) -> Input:
    return Input(shape, limit)


def function_of(*inputs: Input, parts: Callable[[], Sequence[Any]] = list, exporters: Sequence[str] = ()) -> Any:
    """A decorator: the function's name is the case's."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        MODULES[function.__name__] = Module(function, inputs, parts, exporters or ("torchscript", "dynamo"))
        return function

    return add


MODULES: dict[str, Module] = {}
TORCHSCRIPT, DYNAMO = ("torchscript",), ("dynamo",)
ROW = real("batch", "length")
PICTURE = real("batch", 4, "height", "width")


# Masks, indices, scattering.


@function_of(ROW)
def boolean_mask(x: Any) -> Any:
    return x[x > 0]


@function_of(ROW)
def masked_assignment(x: Any) -> Any:
    x = x.clone()
    x[x > 0.5] = -1.0
    return x


@function_of(ROW, exporters=TORCHSCRIPT)
def masked_select(x: Any) -> Any:
    return torch.masked_select(x, x > 0), x.masked_scatter(x > 0, x.flatten())


@function_of(real("batch", 6), below(6, 3), real("batch", 3))
def indexed_assignment(x: Any, i: Any, v: Any) -> Any:
    x = x.clone()
    x[:, i] = v
    return x


@function_of(real(8, 3), below(8, "length"), real("length", 3))
def index_put_accumulated(x: Any, i: Any, v: Any) -> Any:
    return x.index_put((i,), v, accumulate=True)


@function_of(real("batch", 6), below(6, "batch", 4), real("batch", 4))
def scatter_add(x: Any, i: Any, v: Any) -> Any:
    return x.scatter_add(1, i, v)


@function_of(real("batch", 6), below(6, "batch", 4), real("batch", 4))
def scatter_reduce(x: Any, i: Any, v: Any) -> Any:
    return x.scatter_reduce(1, i, v, "amax"), x.scatter_reduce(1, i, v, "prod")


@function_of(real("batch", 6), below(6, "length"))
def index_select(x: Any, i: Any) -> Any:
    return x.index_select(1, i), x[:, i], x[..., -1], x.gather(1, i[None].expand(x.shape[0], -1))


@function_of(ROW)
def nonzero(x: Any) -> Any:
    return torch.nonzero(x > 0), (x > 0).nonzero(as_tuple=True)[1]


@function_of(below(5, "length"))
def unique(x: Any) -> Any:
    return torch.unique(x, return_inverse=True, return_counts=True)


@function_of(ROW)
def bucketize(x: Any) -> Any:
    edges = torch.tensor([-1.0, 0.0, 0.5])
    return torch.bucketize(x, edges), torch.bucketize(x, edges, right=True)


@function_of(real("batch", 9))
def sort(x: Any) -> Any:
    most, least = x.topk(3, 1), x.topk(2, 1, largest=False)
    return (*x.sort(dim=1, descending=True), x.argsort(1), *most, *least, *x.max(1), x.argmin(0), x.amin(1))


@function_of(below(10, "batch", 5), parts=lambda: [nn.EmbeddingBag(10, 4, mode="mean")], exporters=TORCHSCRIPT)
def embedding_bag(bag: Any, x: Any) -> Any:
    return bag(x)


# Control flow.


def halved(x: torch.Tensor, most: float) -> tuple[torch.Tensor, torch.Tensor]:
    steps = 0
    while bool(x.abs().max() > most):
        x = x * 0.5 if steps % 2 == 0 else x * 0.25 + 0.01
        steps += 1
    return x, torch.tensor(steps)


@function_of(real("batch", 3), exporters=TORCHSCRIPT)
def while_loop(x: Any) -> Any:
    return torch.jit.script(halved)(x, 0.1)


@function_of(real("batch", 3), exporters=DYNAMO)
def condition(x: Any) -> Any:
    return torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x.cos() * 2, (x,))


# Sequences.


@function_of(real("length", "batch", 5), parts=lambda: [nn.LSTM(5, 7, num_layers=2, bidirectional=True)])
def lstm(layer: Any, x: Any) -> Any:
    y, (h, c) = layer(x)
    return y, h, c


@function_of(real("batch", "length", 5), parts=lambda: [nn.GRU(5, 7, num_layers=2, batch_first=True)])
def gru(layer: Any, x: Any) -> Any:
    return layer(x)


@function_of(
    real("length", "batch", 5),
    parts=lambda: [nn.RNN(5, 7, nonlinearity="relu", bidirectional=True)],
    exporters=TORCHSCRIPT,
)
def rnn(layer: Any, x: Any) -> Any:
    return layer(x)


@function_of(real("batch", 5), real("batch", 7), real("batch", 7), parts=lambda: [nn.LSTMCell(5, 7)])
def lstm_cell(cell: Any, x: Any, h: Any, c: Any) -> Any:
    return cell(x, (h, c))


def packed(layer: Any, x: Any, ends: Any) -> Any:
    lengths = ends + 3
    rows = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return nn.utils.rnn.pad_packed_sequence(layer(rows)[0], batch_first=True)[0]


@function_of(real(3, 6, 5), below(4, 3), parts=lambda: [nn.LSTM(5, 7, batch_first=True)], exporters=TORCHSCRIPT)
def packed_lstm(layer: Any, x: Any, ends: Any) -> Any:
    return packed(layer, x, ends)


@function_of(real(3, 6, 5), below(4, 3), parts=lambda: [nn.GRU(5, 7, batch_first=True)], exporters=TORCHSCRIPT)
def packed_gru(layer: Any, x: Any, ends: Any) -> Any:
    return packed(layer, x, ends)


HEADS = real("batch", 2, "length", 8)


@function_of(HEADS, HEADS, HEADS)
def attention(q: Any, k: Any, v: Any) -> Any:
    attend = F.scaled_dot_product_attention
    seen = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
    plain, causal = attend(q, k, v), attend(q, k, v, is_causal=True)
    return plain, causal, attend(q, k, v, attn_mask=seen), attend(q, k, v, attn_mask=q @ k.transpose(2, 3), scale=0.3)


GROUPS = real("batch", 1, "length", 8)


@function_of(HEADS, GROUPS, GROUPS, exporters=DYNAMO)
def grouped_attention(q: Any, k: Any, v: Any) -> Any:
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)


@function_of(real("batch", "length", 16), parts=lambda: [nn.MultiheadAttention(16, 4, batch_first=True)])
def multi_head_attention(layer: Any, x: Any) -> Any:
    return layer(x, x, x, need_weights=True)


def encoder_layers() -> list[Any]:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu")
    return [nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)]


@function_of(real("batch", "length", 16), parts=encoder_layers)
def encoder(layers: Any, x: Any) -> Any:
    return layers(x)


@function_of(
    real("batch", 5, 16),
    real("batch", "length", 16),
    parts=lambda: [nn.TransformerDecoderLayer(16, 4, 32, batch_first=True)],
)
def decoder(layer: Any, x: Any, memory: Any) -> Any:
    return layer(x, memory, tgt_mask=nn.Transformer.generate_square_subsequent_mask(5))


# Signals.


@function_of(real("batch", 200), exporters=DYNAMO)
def stft(x: Any) -> Any:
    return torch.view_as_real(torch.stft(x, 16, 4, window=torch.hann_window(16), return_complex=True))


@function_of(real("batch", 32), exporters=DYNAMO)
def fourier(x: Any) -> Any:
    spectrum = torch.fft.rfft(x)
    return spectrum.abs(), torch.fft.irfft(spectrum * 0.5, n=32)


@function_of(real("batch", 4, 8, 8))
def unfold_and_fold(x: Any) -> Any:
    return F.fold(F.unfold(x, 3, padding=1) * 2, (8, 8), 3, padding=1)


@function_of(real("batch", 20))
def sliding_windows(x: Any) -> Any:
    return x.unfold(1, 4, 2)


@function_of(ROW)
def running_sums(x: Any) -> Any:
    return x.cumsum(1), x.flip(1).cumsum(-1), x.cumsum(0)


@function_of(ROW, exporters=DYNAMO)
def running_log_sums(x: Any) -> Any:
    return torch.logcumsumexp(x, 1)


# Pictures.


@function_of(PICTURE, real("batch", 5, 6, 2))
def grid_sample(x: Any, grid: Any) -> Any:
    return tuple(
        F.grid_sample(x, grid.tanh() * 1.2, mode=mode, padding_mode=padding, align_corners=corners)
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (False, True)
    )


@function_of(real("batch", 2, 3))
def affine_grid(angles: Any) -> Any:
    return F.affine_grid(angles, (angles.shape[0], 3, 5, 6), align_corners=False)


@function_of(PICTURE)
def resized_by_factors(x: Any) -> Any:
    nearest = [F.interpolate(x, scale_factor=scale, mode="nearest") for scale in (2, 0.5, (1.5, 2.5))]
    smooth = [
        F.interpolate(x, scale_factor=scale, mode=mode, align_corners=corners)
        for corners in (False, True)
        for scale in (2, 0.5, (1.5, 2.5))
        for mode in ("bilinear", "bicubic")
    ]
    return (*nearest, *smooth)


@function_of(PICTURE)
def resized_to_sizes(x: Any) -> Any:
    line, fixed = F.interpolate(x.flatten(2), 11, mode="linear"), F.interpolate(x, (7, 9), mode="nearest")
    own = F.interpolate(x.amax((2, 3), keepdim=True).expand(-1, -1, 3, 2), size=x.shape[-2:], mode="bilinear")
    return line, fixed, own, F.interpolate(x, (7, 9), mode="bicubic", align_corners=True)


@function_of(real("batch", 4, 12, 10), exporters=DYNAMO)
def resized_smoothly(x: Any) -> Any:
    smaller = F.interpolate(x, (5, 4), mode="bilinear", antialias=True)
    return smaller, F.interpolate(x, (5, 4), mode="nearest-exact"), F.interpolate(x, (6, 5), mode="area")


@function_of(real("batch", 2, 3, 4, 5))
def resized_volume(x: Any) -> Any:
    return F.interpolate(x, scale_factor=2, mode="trilinear")


@function_of(PICTURE)
def paddings(x: Any) -> Any:
    modes = ("reflect", "replicate", "circular")
    return F.pad(x, (1, 2, 3, 0)), F.pad(x, (-1, 2, 0, -2), value=3.0), *(F.pad(x, (1, 2, 3, 0), mode=m) for m in modes)


@function_of(PICTURE)
def pools(x: Any) -> Any:
    average = F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
    largest = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
    return average, F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), largest, F.max_pool2d(x, 2, dilation=2)


@function_of(real("batch", 4, 9, 8))
def adaptive_pools(x: Any) -> Any:
    return F.adaptive_avg_pool2d(x, (3, 2)), F.adaptive_avg_pool2d(x, 1), F.adaptive_max_pool2d(x, (3, 2))


@function_of(real("batch", 4, 6, 8), exporters=DYNAMO)
def max_unpool(x: Any) -> Any:
    return F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)


@function_of(real("batch", 4, 6, 8))
def pixel_shuffles(x: Any) -> Any:
    return F.pixel_shuffle(x, 2), F.pixel_unshuffle(x, 2)


def convolutions() -> list[Any]:
    return [
        nn.Conv2d(4, 6, 3, stride=(1, 2), padding=(2, 1), dilation=(2, 1)),
        nn.Conv2d(4, 8, 3, groups=4, padding_mode="reflect", padding=1),
        nn.Conv2d(4, 6, (1, 5), padding="same"),
        nn.Conv2d(4, 4, 2, padding="same"),
        nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2),
        nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, dilation=2),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
    ]


@function_of(real("batch", 4, 10, 12), parts=convolutions)
def convolution_forms(*layers_and_x: Any) -> Any:
    *layers, x = layers_and_x
    return tuple(layer(x) for layer in layers)


@function_of(
    real("batch", 4, 12),
    parts=lambda: [nn.Conv1d(4, 6, 5, dilation=2, padding="same"), nn.ConvTranspose1d(4, 6, 4, 2, 1, output_padding=1)],
)
def lines(forward: Any, backward: Any, x: Any) -> Any:
    return forward(x), backward(x), F.max_pool1d(x, 3)


@function_of(
    real("batch", 4, 4, 6, 8),
    parts=lambda: [nn.Conv3d(4, 6, 3, padding=1, groups=2), nn.ConvTranspose3d(4, 3, 3, 2)],
)
def volumes(forward: Any, backward: Any, x: Any) -> Any:
    return forward(x), backward(x), F.avg_pool3d(x, 2)


@function_of(PICTURE, real(5, 4, 3, 3))
def computed_weights(x: Any, weights: Any) -> Any:
    return F.conv2d(x, weights, padding=1)


def norms_of_pictures() -> list[Any]:
    return [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.BatchNorm2d(4, affine=False)]


@function_of(real(2, 4, 8, 8), real(2, 6, 4, 3, 3))
def modulated_convolution(x: Any, weights: Any) -> Any:
    rows = F.conv2d(x.reshape(1, -1, *x.shape[2:]), weights.flatten(0, 1), groups=2, padding=1)
    return rows.unflatten(1, (2, 6))


@function_of(PICTURE, parts=norms_of_pictures)
def norms(group: Any, instance: Any, batch: Any, x: Any) -> Any:
    lengths = (torch.linalg.norm(x, dim=1), x.norm(p=1, dim=1), F.normalize(x, dim=1))
    return (group(x), instance(x), batch(x), F.local_response_norm(x, 3), x.std(dim=(2, 3)), *lengths)


@function_of(real("batch", "length", 8), parts=lambda: [nn.LayerNorm(8)])
def layer_norm(layer: Any, x: Any) -> Any:
    return layer(x)


@function_of(real("batch", "length", 8), parts=lambda: [nn.RMSNorm(8)], exporters=DYNAMO)
def rms_norm(layer: Any, x: Any) -> Any:
    return layer(x)


# Arithmetic and shapes.


@function_of(real("batch", 5, 3), real("batch", 5, 3))
def einsum(a: Any, b: Any) -> Any:
    return torch.einsum("bih,bjh->bij", a, b), torch.einsum("bih,bjh->hij", a, b), torch.einsum("bih,bih->bi", a, a)


@function_of(real("batch", 4, 4))
def products(x: Any) -> Any:
    stacks = (torch.bmm(x, x), torch.baddbmm(x, x, x, beta=0.3, alpha=2.0))
    return (*stacks, torch.linalg.det(x), F.cosine_similarity(x, x * 2 + 1, dim=1))


@function_of(real("batch", 5, 4), exporters=TORCHSCRIPT)
def distances(x: Any) -> Any:
    return torch.cdist(x, x + 1)


ACTIVATIONS = (
    *(F.silu, F.mish, F.hardswish, F.hardsigmoid, F.elu, F.celu, F.selu, F.softplus, F.softsign, F.logsigmoid, F.glu),
    *(F.hardtanh, F.relu6, F.tanhshrink, F.hardshrink, F.softshrink, torch.erf, torch.square, torch.sign),
)


@function_of(real("batch", 6))
def activations(x: Any) -> Any:
    return tuple(function(x) for function in ACTIVATIONS)


@function_of(real("batch", 6), exporters=DYNAMO)
def roundings(x: Any) -> Any:
    return (
        torch.trunc(x),
        torch.frac(x),
        torch.exp2(x),
        torch.expm1(x),
        torch.log1p(x.abs()),
        torch.round(x, decimals=1),
    )


@function_of(real("batch", 6))
def arithmetic(x: Any) -> Any:
    remainders = (x.fmod(0.7), x.remainder(0.7), torch.floor_divide(x, 0.3), torch.atan2(x, x.flip(1)))
    chosen = (torch.where(x > 0, x * 2, x.abs()), x.clamp(min=-0.5), torch.nan_to_num(torch.where(x > 0, x / 0.0, x)))
    hidden = x.masked_fill(x > 0, float("-inf")).softmax(-1).nan_to_num()
    return (*remainders, *chosen, hidden, torch.lerp(x, x.flip(0), 0.3), torch.logsumexp(x, 1), 2.0**x, x.pow(3))


@function_of(below(6, "batch", "length"), below(6, "batch", "length"))
def integers(x: Any, y: Any) -> Any:
    whole = (x // (y + 1), x % (y + 1), torch.div(x, y + 1, rounding_mode="trunc"), x.clamp(1, 3), x.to(torch.uint8))
    return (*whole, x.float() / 3, x == y, x.sum(), x.max(), x.prod(1), (x > 2).any(1), (x > 2).all(1))


@function_of(below(6, "batch", "length"), below(6, "batch", "length"), exporters=DYNAMO)
def bits(x: Any, y: Any) -> Any:
    return x & y, x | y, x ^ y, ~x, x << 2, x >> 1


@function_of(real("batch", 4, 6, 6))
def shapes(x: Any) -> Any:
    batch = x.shape[0]
    views = (x.view(batch, -1), x.permute(2, 0, 3, 1).reshape(x.shape[2], -1), x.unflatten(1, (2, 2)))
    parts = (*x.split(2, 1), *x.chunk(3, 2)[:2], x[:, ::2, 1:-1], x[:, None, :, None], torch.tril(x, 1))
    made = (torch.full((batch, 2), 3.0), torch.arange(0, batch * 2, 2), F.one_hot(torch.arange(batch), 5))
    return (*views, *parts, *made, torch.stack([x, x * 2], 1), x.movedim(1, -1))


@function_of(real("batch", 3, 4))
def repetitions(x: Any) -> Any:
    return x.repeat_interleave(3, 1), x.repeat(2, 1, 2), x.tile((2, 2)), x.expand(2, *x.shape), torch.roll(x, 2, 1)


@function_of(real("batch", 6), parts=lambda: [nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.LayerNorm(5)).double()])
def doubles(layers: Any, x: Any) -> Any:
    return layers(x.double())
