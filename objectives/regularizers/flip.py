"""Horizontal flip: every training image is mirrored with probability p.

    x ← x mirrored left to right, with probability p

Source document S4 augments in this way. For digits it is wrong: a mirrored 2 is no digit, and a mirrored 6 or 9 is none either. A model
that must also explain mirrored images has less capacity left for the others. So a search over p should answer 0 for digits (a warning says
so before). The knob exists so that this can be tested, and for photographs, where left and right mean nothing. Units: a probability; ½
forgets left and right altogether. Where: training images of autoencoders and VAEs; not of GANs, whose generator would learn to draw
mirrored images. Cost: 1 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from objectives import data
from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.registry import names
from objectives.regularizers._rules import Rule, Seen, sweep
from objectives.regularizers._truths import Effect, Example, Trained, context
from objectives.terms import Context

KNOB = Knob(
    name="flip",
    summary="probability of mirroring a training image",
    formula="x ← mirrored x with probability p",
    unit="probability",
    default=0.0,
    low=0.0,
    high=0.5,
    off=0.0,
    more="high",
    where="training images",
    cost="1 %",
    source="source document S4 (p = ½)",
)
ON = ("autoencoder", "vae")


def _of_signs(seen: Seen) -> Iterator[str]:
    name = seen.intent.dataset
    if name in names("dataset") and data.module(name).DATASET.signs:
        yield from (f"{one} on {name}" for one in seen.named("flip").values())


CONFLICTS = (
    Rule(
        "flipped_digits",
        "warning",
        _of_signs,
        "{}: a mirrored digit is another sign or none. Leave it out, or expect it to hurt.",
        broken=sweep("vae", "flip", facts={"dataset": "digits"}),
        kept=sweep("vae", "flip", facts={"dataset": "fashion_mnist"}),
    ),
)


def augment(x: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """Each image mirrored with probability p."""
    mirrored = x.view(-1, *context.shape).flip(-1).view(x.shape)
    return torch.where(context.draws.uniform((len(x), 1), "flip") < value, mirrored, x)


def examples() -> list[Example]:
    """An image of 1×3 pixels, always and never; and the share of mirrored images."""
    x = torch.tensor([[1.0, 2.0, 3.0]]).double()

    def flipped(p: float) -> Callable[[Tensor], Tensor]:
        return lambda x: augment(x, context(shape=(1, 1, 3)), p)

    def share(x: Tensor) -> Tensor:
        return (flipped(0.3)(x.expand(40_000, -1))[:, 0] == 3).double().mean()

    return [
        Example("p = 1", flipped(1.0), (x,), x.flip(-1)),
        Example("p = 0", flipped(0.0), (x,), x, rtol=0, atol=0),
        Example("a share p", share, (x,), 0.3, rtol=0.02, smooth=False),
    ]


def effect() -> Effect:
    """A smaller error on mirrored validation images."""

    def error_when_mirrored(trained: Trained) -> float:
        x = trained.images.val.flip(-1).flatten(1)
        with torch.no_grad():
            rebuilt = trained.net("decoder", trained.net("encoder", x))
        return float(0.5 * (rebuilt - x).square().sum(-1).mean())

    return Effect("autoencoder", {"flip": 0.5}, error_when_mirrored, rises=False, least=0.02, epochs=10)
