"""DiffAugment: the discriminator sees augmented images only, real and generated ones alike, and the gradient passes through to G.

    D(T(x)) and D(T(G(z))) in the steps of both players;    T: brightness, contrast, translation, cutout, each with probability p an image

Since generated images are augmented like real ones, G does not learn to draw augmented images, as long as p < 1 or T can be undone in
distribution. Brightness ± ¼, contrast × ½…1½, shift up to an eighth of the side, a cut-out square of half the side, in units of [0, 1]
(DiffAugment's color, translation and cutout; it has saturation too, which gray images lack, and what enters is mid-gray there, black here).
Units: a probability; p = 1 is the published policy. Where: the discriminator's input, in both players' steps. Cost: 10–30 %.

Pitfalls: for little data; with much of it, D only gets weaker. `ada` chooses p by itself: both at once is an error.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._transforms import EAGER, differentiable, memorized
from objectives.regularizers._truths import Effect, Example, context, numbers
from objectives.terms import Context

KNOB = Knob(
    name="diffaug",
    summary="probability of each differentiable augmentation of what the discriminator sees",
    formula="D(T(x)), D(T(G(z))), each part of T with probability p",
    unit="probability",
    default=0.0,
    low=0.0,
    high=1.0,
    off=0.0,
    more="high",
    where="discriminator's input",
    cost="10–30 %",
    source="Zhao et al. 2020 (DiffAugment, p = 1)",
)
ON = ("gan.discriminator",)


def corrupt(x: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """Each augmentation with probability p, each image for itself."""
    return differentiable(x, context.shape, value, context.draws, "diffaug")


def examples() -> list[Example]:
    """Its parts, each by what it must do to a plain image; p = 0; and the share of images that stay as they are."""
    n, shape = 20_000, (1, 8, 8)
    gray = torch.full((n, 64), 0.5).double()

    def share(x: Tensor) -> Tensor:
        return (corrupt(x, context(shape=shape), 0.5) == x).all(-1).double().mean()

    def level(x: Tensor) -> Tensor:
        """Mean and variance of the brightness at a corner of gray images, where neither shift nor cutout made it 0."""
        corner = corrupt(x, context(shape=shape), 1.0)[:, 0]
        corner = corner[corner > 0]
        return torch.stack([corner.mean(), corner.var()])

    def black(x: Tensor) -> Tensor:
        return (corrupt(x, context(shape=shape), 1.0) == 0).double().sum(-1).amax()

    x = numbers(5, 64)
    uniform = torch.tensor([0.5, 0.5**2 / 12]).double()
    return [
        Example("p = 0 is the identity", lambda x: corrupt(x, context(shape=shape), 0.0), (x,), x),
        Example(
            "contrast leaves gray: brightness, shift, cutout must miss it", share, (gray,), 0.5**2 * (0.5 + 0.5 / 9), 0.03, smooth=False
        ),
        Example("brightness: U(¼, ¾) of gray", level, (gray,), uniform, rtol=0.03, smooth=False),
        Example("black at most: a row, a column and a 4×4 square", black, (gray,), 15.0 + 16, smooth=False),
    ]


def effect() -> Effect:
    """A discriminator that knows its training images less well from others."""
    # Seen with 32 images and 100 epochs, of the non-saturating loss too; with lsgan 0.15 ± 0.04 (standard deviation over seeds) without and
    # 0.01 ± 0.05 with. Not seen with 256 images and 20 epochs, where D knows nothing by heart yet.
    always = {**EAGER, "loss": "lsgan"}
    return Effect("gan", {"diffaug": 1.0}, memorized, rises=False, least=0.2, always=always, epochs=100, images=32, seeds=16, signed=True)
