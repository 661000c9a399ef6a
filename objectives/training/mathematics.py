"""What training asks of a family: the mathematics of one model, and a few facts about it.

Nothing here knows of loops, members, checkpoints or optimizers. A family's file writes these functions for one model. `loop.py` trains
many members with them. `families/_family.py` holds the defaults.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from objectives import base
from objectives.data._kinds import ImageSet
from objectives.draws import Draws
from objectives.features import Extractor
from objectives.lazy import Tensor
from objectives.models import Parts
from objectives.terms import Net, Terms

if TYPE_CHECKING:
    from objectives.training.traced import Trace


class Mathematics(Protocol):
    """A family as training sees it. n images, D = channels · height · width numbers per image, z latents, K members."""

    name: ClassVar[str]
    knobs: ClassVar[Mapping[str, base.Knob]]
    score: ClassVar[str]
    cheap: ClassVar[str]  # the metric that schedulers compare after every epoch, if it is not the score
    default_batch_size: ClassVar[int]
    players: ClassVar[Mapping[str, tuple[str, ...]]]  # the players, in the order of their steps, and the parts that each owns
    averaged: ClassVar[Mapping[str, str]]  # players whose exponential moving average is scored, and the knob of its decay
    dtype: ClassVar[str]
    evaluates_together: ClassVar[bool]  # `evaluate` only makes tensors from tensors, so it can be mapped over members
    settings: base.Settings
    model: str
    likelihood: str
    deciding: str  # the metric that decides
    measured: Mapping[base.Phase, tuple[str, ...]]  # the metric files that are measured on a complete member
    kept: ClassVar[tuple[str, ...]]  # the parts that are used after training; empty: all of them
    offers: ClassVar[tuple[str, ...]]  # what it has for metrics: codes, samples, …
    prior: ClassVar[str] = "standard_normal"  # the density of the codes that are decoded into samples, where the settings name none
    traces: dict[Hashable, Trace]  # the traces of its mapped losses, kept for all runs of this process
    meanings: Mapping[str, str]  # what the output of each part of its models is: logits, pixels, codes, or posterior (means, log-variances)
    density: bool  # whether its likelihood is a density of real-valued pixels

    @classmethod
    def parts(cls, shape: base.Shape, latent_dim: int) -> Parts:
        """The parts that its models have: how many numbers each takes for an image, and the shape that it gives for one."""
        ...

    def load_data(self) -> ImageSet:
        """The data set of the settings."""
        ...

    def features(self) -> Extractor:
        """The features in which images are compared."""
        ...

    # How the players move ---------------------------------------------------------------------------------------------------------------

    def every(self, player: str, options: base.Config) -> int:
        """A player takes a step once in so many minibatches."""
        ...

    def rate(self, player: str, columns: Mapping[str, Tensor | float]) -> Tensor | float:
        """A player's learning rate, a float or (K, 1)."""
        ...

    def betas(self, columns: Mapping[str, Tensor | float]) -> tuple[Tensor | float, float]:
        """Adam's β₁, a float or (K, 1), and β₂."""
        ...

    # One model --------------------------------------------------------------------------------------------------------------------------

    def loss(self, player: str, net: Net, batch: Tensor, draws: Draws, knobs: Mapping[str, Tensor]) -> Terms:
        """The data term of `player` on a batch (B, D), averaged over it, and what penalties may use. λ stays out of it."""
        ...

    def evaluate(self, net: Net, images: ImageSet) -> dict[str, Tensor | float]:
        """Cheap, λ-free metrics for a report. Schedulers compare the one named `self.cheap` (else `self.score`)."""
        ...

    def evaluated_images(self, images: ImageSet, options: base.Config) -> int:
        """How many images `evaluate` shows a network at once, at most. `options` are the structural knobs."""
        ...

    def finish(self, net: Net, images: ImageSet, rungs: Sequence[float]) -> dict[str, float]:
        """All metrics of scored weights, the costly ones too. `rungs` holds the cheap score of every epoch."""
        ...

    def test(self, net: Net, images: ImageSet) -> dict[str, float]:
        """Metrics on the test split under the names `test_…`."""
        ...

    def pictures(self, net: Net, images: ImageSet) -> Mapping[str, Tensor]:
        """Images (n, C, H, W) in [0, 1] by name, `output` being reconstructions of `input`; empty if there is nothing to see."""
        ...

    # What metrics may take of it, where it says in `offers` that it has it ------------------------------------------------------------

    def samples(self, net: Net, images: ImageSet, n: int, name: str) -> Tensor:
        """`n` generated images (n, C, H, W), from noise that depends on `name` only."""
        ...

    def samples_in_parts(self, net: Net, images: ImageSet, n: int, name: str) -> Iterator[Tensor]:
        """The same images, some at a time (`objectives/parts.py`)."""
        ...

    def codes(self, net: Net, x: Tensor) -> Tensor:
        """What the encoder makes of images (n, D): (n, z)."""
        ...

    def posterior(self, net: Net, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), (n, z) each, of images (n, C, H, W), noise as `name` says."""
        ...

    def neg_log_likelihood(self, net: Net, images: ImageSet, x: Tensor | Iterable[Tensor], name: str) -> Tensor:
        """A bound on −log p(x) in nats (n,), of images x (n, C, H, W), or of parts of them, noise as `name` says."""
        ...

    def anomaly(self, net: Net, images: ImageSet, x: Tensor) -> Tensor:
        """How strange images x (n, C, H, W) are, (n,): higher is stranger."""
        ...
