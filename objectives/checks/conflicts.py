"""Which knobs do not go together, and why. It is said before a sweep spends hours on them. Pure, and readable without torch.

The file of a λ says what that λ does not go with (`CONFLICTS`, see `objectives/regularizers`). The rules here are not about one λ. They are
about two kinds of λ (`TRAITS`), and about the game of a GAN.

Two known traps need no rule. Scores hold no λ, so a warm-up of β cannot make a scheduler stop the wrong members. And FID itself refuses too
few images.
"""

from __future__ import annotations

from collections.abc import Iterator

from objectives import regularizers
from objectives.base import Conflict, Intent
from objectives.regularizers._rules import Rule, Seen, sweep

GRACE_SHARE = 0.2  # share of the epochs: before it a GAN's score says little


def conflicts(objective: str, intent: Intent) -> list[Conflict]:
    """Every rule that this intent breaks, errors first."""
    seen = Seen(objective, intent, regularizers.modules())
    found = [Conflict(rule.level, rule.name, rule.message.format(place)) for rule in RULES for place in dict.fromkeys(rule.places(seen))]
    return sorted(found, key=lambda conflict: conflict.level != "error")


def _scale_free(seen: Seen) -> Iterator[str]:
    """Weight shrinking on a layer whose output does not depend on the length of its weights."""
    for shrinking in seen.having("shrinks_weights"):
        for fixing in seen.having("fixes_scale"):
            yield from (" and ".join(pair) for pair in seen.together(shrinking, fixing))


def _unbounded(seen: Seen) -> Iterator[str]:
    if seen.may_be("loss", "wasserstein") and not any(map(seen.discriminator, seen.having("bounds_critic"))):
        yield "loss=wasserstein"


def _across_losses(seen: Seen) -> Iterator[str]:
    on = [name for stem in seen.having("logit_scaled") if (name := seen.discriminator(stem))]
    if on and len(seen.intent.on.get("loss", ())) > 1:
        yield ", ".join(on)


def _early_rung(seen: Seen) -> Iterator[str]:
    rung, epochs = seen.intent.first_rung, seen.intent.epochs
    if seen.objective == "gan" and rung is not None and rung < GRACE_SHARE * epochs:
        yield f"{rung} of {epochs}"


# Knobs that act with some kinds only, by the knob that chooses the kind.
ACTS_WITH = {
    "momentum": ("optimizer", ("sgd",)),
    "beta1": ("optimizer", ("adam", "adamw")),
    "lr_step": ("lr_schedule", ("step",)),
    "lr_gamma": ("lr_schedule", ("step",)),
}


def _idle(seen: Seen) -> Iterator[str]:
    for name, (chooser, kinds) in ACTS_WITH.items():
        given = seen.intent.on.get(chooser, ())
        if name in seen.intent.searched and given and not set(kinds) & set(given):
            yield f"{name} acts with {chooser}={' or '.join(kinds)} only; got {', '.join(map(str, given))}"


def _no_decay(seen: Seen) -> Iterator[str]:
    if seen.may_be("optimizer", "adamw") and not seen.named("decoupled_wd"):
        yield "optimizer=adamw"


ACROSS = (
    Rule(
        "idle",
        "warning",
        _idle,
        "{}. To search the knob changes nothing here.",
        broken=sweep("vae", "l2", searched=("momentum",), momentum=(0.0, 0.99), optimizer=("adam",)),
        kept=sweep("vae", "l2", searched=("momentum",), momentum=(0.0, 0.99), optimizer=("adam", "sgd")),
    ),
    Rule(
        "no_decay",
        "warning",
        _no_decay,
        "{}: without the λ decoupled_wd, which is its weight decay, adamw is adam. Search it, or fix it.",
        broken=sweep("vae", "l2", optimizer=("adamw",)),
        kept=sweep("vae", "decoupled_wd", optimizer=("adamw",)),
    ),
    Rule(
        "scale_free",
        "warning",
        _scale_free,
        "{}: the output of a normalized layer does not depend on the length of its weights, so this λ sets the effective learning rate "
        "η/‖w‖², not the capacity.",
        broken=sweep("gan", "l2_d", "spectral_norm_d"),
        kept=sweep("gan", "l2_g", "spectral_norm_d"),
    ),
    Rule(
        "wasserstein_unbounded",
        "warning",
        _unbounded,
        "{}: nothing bounds the critic, whose loss then has no minimum. Switch on wgan_gp, r1, weight_clip or spectral_norm.",
        broken=sweep("gan", "l2_g", "spectral_norm_g", loss=("wasserstein",)),
        kept=sweep("gan", "spectral_norm_d", loss=("wasserstein",)),
    ),
    Rule(
        "across_losses",
        "warning",
        _across_losses,
        "{}: losses differ in the scale of the logits, so a value found under one loss means something else under another. Fix the loss.",
        broken=sweep("gan", "r1", loss=("hinge", "lsgan")),
        kept=sweep("gan", "r1", loss=("hinge",)),
    ),
    Rule(
        "early_rung",
        "warning",
        _early_rung,
        "the first rung is at epoch {}: a GAN's score is not monotone, and nothing should be judged before a fifth of its epochs. "
        "Give more epochs, or set scheduler: none.",
        broken=sweep("gan", "l2_d", facts={"first_rung": 7}),
        kept=sweep("gan", "l2_d", facts={"first_rung": 8}),
    ),
)
# First the rules of each λ, in the order of their names; then the rules that are about no single λ.
RULES: tuple[Rule, ...] = (*(rule for file in regularizers.modules().values() for rule in getattr(file, "CONFLICTS", ())), *ACROSS)
