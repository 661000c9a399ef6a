"""How much a discriminator's logits change when its input is shifted a little. CR and bCR penalize this."""

from __future__ import annotations

from collections.abc import Callable

from objectives.lazy import Tensor, torch
from objectives.regularizers._transforms import shifted
from objectives.regularizers._truths import Functions, Trained, context, zero
from objectives.terms import Terms


def under_shift(terms: Terms, kind: str, stream: str) -> Tensor:
    """E(D(x) − D(Tx))² over the `real` or the `fake` images as D saw them; T moves each image by a few pixels of its own."""
    seen, context = terms.values[f"seen_{kind}"], terms.context
    moved = terms.net("discriminator", shifted(seen, context.shape, context.draws, stream))
    return (terms.values[f"on_{kind}"] - moved).square().mean()


def moves(images: Callable[[Trained], Tensor]) -> Callable[[Trained], float]:
    """E(D(x) − D(Tx))² with T a shift by one pixel, for an effect."""

    def measure(trained: Trained) -> float:
        x = images(trained)
        image = x.view(-1, *trained.images.shape)
        moved = torch.cat([torch.zeros_like(image[..., :1]), image[..., :-1]], -1).flatten(1)
        with torch.no_grad():
            return float((trained.net("discriminator", x) - trained.net("discriminator", moved)).square().mean())

    return measure


def by_hand(x: Tensor, side: int, stream: str) -> Tensor:
    """The images (n, side²) as `under_shift` moves them by one pixel at most, pixel by pixel; from the stream of a fresh context."""
    draws = context().draws
    down, right = ((3 * draws.uniform((len(x),), stream)).floor().int() - 1 for _ in range(2))
    moved = x.new_zeros(len(x), side, side)
    for n, image in enumerate(x.view(-1, side, side)):
        for row in range(side):
            for column in range(side):
                to = (row + int(down[n]), column + int(right[n]))
                if min(to) >= 0 and max(to) < side:
                    moved[n][to] = image[row, column]
    return moved.flatten(1)


def example_terms(w: Tensor, shape: tuple[int, int, int], real: Tensor, fake: Tensor) -> Terms:
    """Terms with D(x) = w·x."""
    values = {"seen_real": real, "seen_fake": fake, "on_real": real @ w, "on_fake": fake @ w}
    return Terms(zero(), values, net=Functions(shape=shape, discriminator=lambda x: x @ w), context=context(shape=shape))
