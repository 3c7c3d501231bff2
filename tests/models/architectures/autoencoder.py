"""A convolutional autoencoder (Masci et al., ICANN 2011) that decodes with transposed convolutions (Zeiler et al.)."""

from __future__ import annotations

from torch import Tensor, nn


class Autoencoder(nn.Module):
    """(batch, 3, 64, 64) to a reconstruction of the same shape and the code, (batch, code)."""

    def __init__(self, code: int = 64) -> None:
        super().__init__()
        encoder: list[nn.Module] = []
        for channels_in, channels_out in ((3, 16), (16, 32), (32, 64)):
            encoder += [nn.Conv2d(channels_in, channels_out, 3, 2, 1), nn.BatchNorm2d(channels_out), nn.LeakyReLU(0.1)]
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(64 * 8 * 8, code))
        self.decoder = nn.Sequential(
            nn.Linear(code, 64 * 8 * 8),
            nn.Unflatten(1, (64, 8, 8)),
            nn.ConvTranspose2d(64, 32, 3, 2, 1, output_padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1),
            nn.BatchNorm2d(16),
            nn.ELU(),
            nn.ConvTranspose2d(16, 3, 2, 2, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encoder(x)
        return self.decoder(code), code
