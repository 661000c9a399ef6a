"""One-sided label smoothing: the discriminator is asked to call real images real with probability a, not 1.

    E[a·softplus(−D(x)) + (1 − a)·softplus(D(x))] = E softplus(−D(x)) + (1 − a)·E D(x),    for softplus(t) − softplus(−t) = t

So it adds (1 − a) E D(x) to D's loss, and (1 − a) E[D(x) − D(G(z))] to a relativistic one. Without it the best D is log(p_data/p_model).
With it the best D is log(a p_data/p_model), for generated images of the same density as before: D is no longer sure on real images.
Generated images keep the label 0 (smoothing both changes the optimum toward G's own modes). Units: a is a probability; off is 1. Where: the
discriminator of a logistic game (non_saturating, minimax, relativistic); the others have no labels, and refuse it. Cost: 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from objectives.base import Knob, ObjectiveError
from objectives.lazy import Tensor, torch
from objectives.losses import GAMES as LOSSES
from objectives.regularizers._rules import Rule, Seen, sweep
from objectives.regularizers._transforms import EAGER
from objectives.regularizers._truths import Effect, Example, Functions, Trained, numbers
from objectives.terms import Terms

KNOB = Knob(
    name="label_smoothing",
    summary="label of real images in the discriminator's loss; 1 is plain",
    formula="+ (1 − a) E D(x)",
    unit="probability",
    default=1.0,
    low=0.7,
    high=1.0,
    off=1.0,
    more="low",
    where="discriminator",
    cost="0",
    source="Salimans et al. 2016 (.9)",
)
ON = ("gan.discriminator",)
GAMES = ("non_saturating", "minimax", "relativistic")


def _without_labels(seen: Seen) -> Iterator[str]:
    if seen.named("label_smoothing"):
        yield from (str(value) for value in seen.intent.on.get("loss", ()) if value not in GAMES)


CONFLICTS = (
    Rule(
        "smoothed_labels",
        "error",
        _without_labels,
        "label_smoothing needs a loss with labels (non_saturating, minimax, relativistic); loss may be {}. Leave one of them out.",
        broken=sweep("gan", "label_smoothing", loss=("hinge",)),
        kept=sweep("gan", "label_smoothing", loss=("minimax",)),
    ),
)


def adjust(terms: Terms, value: Tensor | float) -> Terms:
    """Add (1 − a)·E D(x)."""
    from dataclasses import replace

    game = terms.net.options["loss"]
    if game not in GAMES:
        raise ObjectiveError(
            f"label_smoothing needs a loss with labels, one of {', '.join(GAMES)}; got loss={game}. Leave one of them out."
        )
    logits = terms.values["on_real"] - terms.values["on_fake"] if game == "relativistic" else terms.values["on_real"]
    value = torch.as_tensor(value, dtype=logits.dtype)
    return replace(terms, data=torch.where(value == 1, terms.data, terms.data + (1 - value) * logits.mean()))


def examples() -> list[Example]:
    """torch's cross-entropy with the label a, in each of the three games."""
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    real, fake, a = numbers(6, seed=1), numbers(6, seed=2), 0.8

    def found(game: str, real: Tensor, fake: Tensor) -> Tensor:
        net = Functions()
        net.options["loss"] = game
        terms = Terms(LOSSES[game].discriminator(real, fake), {"on_real": real, "on_fake": fake}, net=net)
        return adjust(terms, a).data

    plain = cross_entropy(real, 0 * real + a) + cross_entropy(fake, 0 * fake)
    return [
        Example("non-saturating", lambda x, y: found("non_saturating", x, y), (real, fake), plain),
        Example("minimax", lambda x, y: found("minimax", x, y), (real, fake), plain),
        Example("relativistic", lambda x, y: found("relativistic", x, y), (real, fake), cross_entropy(real - fake, 0 * real + a)),
    ]


def effect() -> Effect:
    """A discriminator that is far ahead is less sure of real images."""

    def doubt(trained: Trained) -> float:
        with torch.no_grad():
            return float((-trained.net("discriminator", trained.images.val.flatten(1))).sigmoid().mean())

    return Effect("gan", {"label_smoothing": 0.7}, doubt, rises=True, least=1.0, always=EAGER, epochs=10, signed=True)
