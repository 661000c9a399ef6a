"""Which knobs do not go together, and why: said before a sweep spends hours on them. Pure, and readable without torch.

Each rule is one entry of `RULES`: a name, a level, what it looks for, and the words. An error refuses the sweep (the same thing is counted
twice, or a knob has no meaning beside another); a warning is said once (it trains, but the λ curve may not measure what one thinks).

A rule finds *places*: where it applies, as a text that goes into its message. In a GAN a knob may exist for both players (`l2_g`, `l2_d`);
two knobs meet where their suffixes agree, or where one has none because it exists for one player only.

Two known traps need no rule: scores hold no λ, so a warm-up of β cannot be stopped on the wrong objective, and FID refuses too few images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from objectives.base import Conflict, Intent

# Losses on which γ of a gradient penalty and λ of a consistency act through the logits' scale.
LOGIT_SCALED = ("r1", "r2", "wgan_gp", "dragan", "max_gp", "lecam", "cr", "bcr", "zcr_d")
GRADIENT_PENALTIES = ("wgan_gp", "dragan", "max_gp", "r1", "r2")
LIPSCHITZ = (*GRADIENT_PENALTIES, "weight_clip", "spectral_norm", "spectral_penalty")
SHRINKING = ("l2", "l2_unsquared", "l2_decoder", "decoupled_wd")
LOGISTIC = ("non_saturating", "minimax", "relativistic")
DIGITS = ("digits", "emnist", "kmnist", "mnist", "stacked_mnist", "svhn")
GRACE_SHARE = 0.2  # of the epochs, before which a GAN's score says little


@dataclass(frozen=True)
class Seen:
    """An intent as rules look at it."""

    objective: str
    intent: Intent

    def named(self, stem: str) -> dict[str, str]:
        """The knobs of a stem that are on, by suffix: `l2` is {"": "l2"}, or {"_g": "l2_g", "_d": "l2_d"} in a GAN."""
        return {suffix: stem + suffix for suffix in ("", "_g", "_d") if stem + suffix in self.intent.on}

    def discriminator(self, stem: str) -> str:
        """The name under which a stem is on in the discriminator; empty if it is not."""
        found = self.named(stem)
        return found.get("_d") or found.get("", "")

    def together(self, one: str, other: str) -> Iterator[tuple[str, str]]:
        """The pairs of knobs of two stems that are on in the same place."""
        for suffix, name in self.named(one).items():
            for suffix_of_other, other_name in self.named(other).items():
                if suffix == suffix_of_other or "" in (suffix, suffix_of_other):
                    yield name, other_name

    def may_be(self, stem: str, value: str) -> bool:
        """True if a categorical knob of this stem may take `value`."""
        return any(value in self.intent.on[name] for name in self.named(stem).values())

    def highest(self, name: str) -> float:
        """The largest number that a knob may take; 0 if it is off."""
        return max((float(value) for value in self.intent.on.get(name, ()) if not isinstance(value, str)), default=0.0)


@dataclass(frozen=True)
class Rule:
    """One incompatibility. `places` yields where it applies, and each place fills the braces of `message`."""

    name: str
    level: Literal["error", "warning"]
    places: Callable[[Seen], Iterator[str]]
    message: str


def conflicts(objective: str, intent: Intent) -> list[Conflict]:
    """Every rule that an intent breaks, errors first."""
    seen = Seen(objective, intent)
    found = [Conflict(rule.level, rule.name, rule.message.format(place)) for rule in RULES for place in dict.fromkeys(rule.places(seen))]
    return sorted(found, key=lambda conflict: conflict.level != "error")


# --- what rules look for ------------------------------------------------------------------------------------------------------------------


def _both(one: str, *others: str) -> Callable[[Seen], Iterator[str]]:
    """`one` and any of the others on in the same place."""

    def places(seen: Seen) -> Iterator[str]:
        for other in others:
            for pair in seen.together(one, other):
                yield " and ".join(pair)

    return places


def _replaced_beta(seen: Seen) -> Iterator[str]:
    if "beta" in seen.intent.searched:
        yield from (name for name in ("capacity", "geco") if seen.named(name))


def _smoothed_other_loss(seen: Seen) -> Iterator[str]:
    if seen.named("label_smoothing"):
        yield from (str(value) for value in seen.intent.on.get("loss", ()) if value not in LOGISTIC)


def _sigma_of_bernoulli(seen: Seen) -> Iterator[str]:
    if seen.named("optimal_sigma") and seen.intent.likelihood == "bernoulli":
        yield "optimal_sigma"


def _batch_norm(seen: Seen) -> str:
    """The knob that may give the discriminator batch normalization; empty if none may."""
    name = seen.discriminator("norm")
    return name if name and "batch" in seen.intent.on[name] else ""


def _penalized_batch_norm(seen: Seen) -> Iterator[str]:
    norm = _batch_norm(seen)
    if norm:
        yield from (f"{name} and {norm}=batch" for name in GRADIENT_PENALTIES if seen.named(name))


def _wasserstein_batch_norm(seen: Seen) -> Iterator[str]:
    norm = _batch_norm(seen)
    if norm and seen.may_be("loss", "wasserstein"):
        yield f"loss=wasserstein and {norm}=batch"


def _wasserstein_l2(seen: Seen) -> Iterator[str]:
    name = seen.discriminator("l2")
    if name and seen.may_be("loss", "wasserstein"):
        yield name


def _wasserstein_unbounded(seen: Seen) -> Iterator[str]:
    if seen.may_be("loss", "wasserstein") and not any(seen.discriminator(stem) for stem in LIPSCHITZ):
        yield "loss=wasserstein"


def _scale_free(seen: Seen) -> Iterator[str]:
    """Weight shrinking on a layer whose output does not depend on the length of its weights."""
    for stem in SHRINKING:
        for invariant in ("spectral_norm", "weight_norm"):
            yield from (" and ".join(pair) for pair in seen.together(stem, invariant))
        for name, norm in seen.together(stem, "norm"):
            if any(value in seen.intent.on[norm] for value in ("batch", "layer", "instance", "group")):
                yield f"{name} and {norm}"


def _alone(seen: Seen) -> Iterator[str]:
    for pair in seen.together("r1", "spectral_norm"):
        if not set(pair) <= seen.intent.searched:
            yield " and ".join(pair)


def _across_losses(seen: Seen) -> Iterator[str]:
    if len(seen.intent.on.get("loss", ())) > 1:
        on = [name for stem in LOGIT_SCALED for name in seen.named(stem).values()]
        if on:
            yield ", ".join(on)


def _searched_both_variances(seen: Seen) -> Iterator[str]:
    if seen.named("optimal_sigma") and "beta" in seen.intent.searched:
        yield "beta and optimal_sigma"


def _judged_while_warming(seen: Seen) -> Iterator[str]:
    rung = seen.intent.first_rung
    for name in seen.named("kl_warmup").values():
        if rung is not None and seen.highest(name) > rung:
            yield f"{name} up to {seen.highest(name):g} epochs, first judged after {rung}"


def _never_warm(seen: Seen) -> Iterator[str]:
    for name in seen.named("kl_warmup").values():
        if seen.highest(name) >= seen.intent.epochs:
            yield f"{name} up to {seen.highest(name):g} of {seen.intent.epochs} epochs"


def _early_rung(seen: Seen) -> Iterator[str]:
    rung, epochs = seen.intent.first_rung, seen.intent.epochs
    if seen.objective == "gan" and rung is not None and rung < GRACE_SHARE * epochs:
        yield f"{rung} of {epochs}"


def _flipped_digits(seen: Seen) -> Iterator[str]:
    if seen.intent.dataset in DIGITS:
        yield from (f"{name} on {seen.intent.dataset}" for name in seen.named("flip").values())


# --- the rules ----------------------------------------------------------------------------------------------------------------------------

RULES: tuple[Rule, ...] = (
    # Counted twice.
    Rule("l1_twice", "error", _both("l1", "l1_prox"), "{}: both are λΣ|w|, as a gradient and as a proximal step. Keep one."),
    Rule("l2_decoder_twice", "error", _both("l2", "l2_decoder"), "{}: the decoder's kernels would be penalized by both. Keep one."),
    Rule("l2_twice", "error", _both("l2_unsquared", "l2"), "{}: both shrink the same weights, with the norm and its square. Keep one."),
    Rule(
        "l2_unsquared_decoder",
        "error",
        _both("l2_unsquared", "l2_decoder"),
        "{}: the decoder's kernels would be penalized by both. Keep one.",
    ),
    Rule(
        "beta_replaced",
        "error",
        _replaced_beta,
        "{0} takes the place of β·KL, so a searched beta would be a second weight on the same KL. "
        "Leave beta out of the search (--set search.beta=null), or switch {0} off.",
    ),
    Rule("two_targets", "error", _both("capacity", "geco"), "{}: each sets the weight of the KL by a target of its own. Keep one."),
    Rule("two_reconstructions", "error", _both("geco", "optimal_sigma"), "{}: each sets the weight of the reconstruction. Keep one."),
    Rule("tc_twice", "error", _both("factor", "tc"), "{}: both weigh the total correlation, by an adversary and by sampling. Keep one."),
    Rule("dip_twice", "error", _both("dip_i", "dip_ii"), "{}: both penalize the covariance of the codes. Keep one."),
    Rule("augmented_twice", "error", _both("diffaug", "ada"), "{}: both augment what the discriminator sees. Keep one."),
    Rule("normalized_twice", "error", _both("spectral_norm", "weight_norm"), "{}: both set the scale of the same kernels. Keep one."),
    Rule("two_schedules", "error", _both("kl_warmup", "kl_cycles"), "{}: both are a schedule of β. Keep one."),
    Rule("two_floors", "error", _both("free_bits", "capacity"), "{}: both fix how many nats the KL may have. Keep one."),
    Rule("noise_twice", "error", _both("instance_noise", "input_noise"), "{}: the discriminator's input would get noise twice. Keep one."),
    Rule("consistency_twice", "error", _both("cr", "bcr"), "{}: bcr holds cr's term on real images already. Keep one."),
    # No meaning beside the other.
    Rule(
        "smoothed_labels",
        "error",
        _smoothed_other_loss,
        "label_smoothing needs a loss with labels (non_saturating, minimax, relativistic); loss may be {}. Leave one of them out.",
    ),
    Rule(
        "sigma_of_bernoulli",
        "error",
        _sigma_of_bernoulli,
        "{} is the variance of a Gaussian; the likelihood is bernoulli, which has none. Set likelihood: gaussian, or switch it off.",
    ),
    # Trains, but does not mean what one thinks.
    Rule(
        "two_decays",
        "warning",
        _both("l2", "decoupled_wd"),
        "{}: both shrink the same weights, one through Adam's gradient and one beside it. Search one, unless you compare them.",
    ),
    Rule(
        "penalized_batch_norm",
        "warning",
        _penalized_batch_norm,
        "{}: a gradient penalty is one image's, and batch normalization couples images. Use layer, group or none in the discriminator.",
    ),
    Rule(
        "wasserstein_batch_norm",
        "warning",
        _wasserstein_batch_norm,
        "{}: batch normalization couples images, and the critic's bound is on one image. Use layer, group or none in the discriminator.",
    ),
    Rule("wasserstein_l2", "warning", _wasserstein_l2, "{} with loss=wasserstein: decay on the critic was reported to break it; watch it."),
    Rule(
        "wasserstein_unbounded",
        "warning",
        _wasserstein_unbounded,
        "{}: nothing bounds the critic, whose loss then has no minimum. Switch on wgan_gp, r1, weight_clip or spectral_norm.",
    ),
    Rule(
        "scale_free",
        "warning",
        _scale_free,
        "{}: the output of a normalized layer does not depend on the length of its weights, so this λ sets the effective learning rate "
        "η/‖w‖², not the capacity.",
    ),
    Rule("r1_with_sn", "warning", _alone, "{}: they interact, so the best value of one holds for one value of the other. Search both."),
    Rule(
        "across_losses",
        "warning",
        _across_losses,
        "{}: losses differ in the scale of the logits, so a value found under one loss means something else under another. Fix the loss.",
    ),
    Rule(
        "two_variances",
        "warning",
        _searched_both_variances,
        "{}: β and the decoder's variance are one knob but for the normalizer. Search one.",
    ),
    Rule(
        "judged_while_warming",
        "warning",
        _judged_while_warming,
        "{}: rungs compare members whose β still differs by the schedule. Lower kl_warmup, give more epochs, or set scheduler: none.",
    ),
    Rule(
        "never_warm",
        "warning",
        _never_warm,
        "{}: β is not reached before training ends. Lower kl_warmup's range or give more epochs.",
    ),
    Rule(
        "early_rung",
        "warning",
        _early_rung,
        "the first rung is at epoch {}: a GAN's score is not monotone, and nothing should be judged before a fifth of its epochs. "
        "Give more epochs, or set scheduler: none.",
    ),
    Rule("flipped_digits", "warning", _flipped_digits, "{}: a mirrored digit is another sign or none. Leave it out, or expect it to hurt."),
)
