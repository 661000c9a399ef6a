"""zCR: latent consistency. A small step in the latent space should not change D's logits, and should change G's image.

    discriminator:  zcr_d = E (D(G(z)) − D(G(z + σε)))²        generator:  zcr_g = −E ‖G(z) − G(z + σε)‖²,    ε ~ N(0, I)

σ is `zcr_radius` (one for each player). Units: zcr_d squared logits; zcr_g squared pixel values, *summed* over pixels, images in [0, 1].
Published λ: 20 on D and .5 on G. StudioGAN averages over the D values of an image, and its images span [−1, 1]: our λ_g is 4/D times its λ
(`lagrange convert` divides by D and leaves the range alone). zcr_g is negative, and it is bounded because images are bounded.
Where: both players. Cost: D 100 % (a second generated batch), G 50–100 %.

Pitfalls: where D sees images with instance noise or augmentation, the second batch gets its own. So consistency under noise and
augmentation is asked for as well. The generator is penalized for standing still, so a large λ_g makes it jump where neighbours should be
alike.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Functions, Trained, context, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="zcr",
    summary="latent consistency: D must not see a small step of z, G must show it",
    formula="D: λ E(D(G(z)) − D(G(z + σε)))²; G: −λ E‖G(z) − G(z + σε)‖²",
    unit="D: 1 / squared logit; G: 1 / squared pixel value",
    default=0.0,
    low=1e-3,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="50–100 %",
    source="Zhao et al. 2021 (ICR-GAN: D 20, G .5)",
)
COMPANIONS = (
    Knob(
        name="zcr_radius",
        summary="length of the latent step, per coordinate",
        formula="σ",
        unit="standard deviations of z",
        default=0.05,
        low=1e-2,
        high=0.5,
        log=True,
        where="latent",
        source="StudioGAN (.05)",
    ),
)
ON = ("gan.generator", "gan.discriminator")
TRAITS = ("logit_scaled",)


def penalty(terms: Terms) -> Tensor:
    """The discriminator's term or the generator's, as the player is."""
    context, values, net = terms.context, terms.values, terms.net
    z = values["latent"]
    near = net("generator", z + context.knobs["zcr_radius"] * context.draws.normal(z.shape, "zcr"))
    if context.player == "generator":
        return -(values["fake"] - near).square().sum(-1).mean()
    on_near: Tensor = net("discriminator", net.corrupt("discriminator", near.detach()))
    return (values["on_fake"] - on_near).square().mean()


def examples() -> list[Example]:
    """Linear players: G(z) = zA and D(x) = w·x move by σεA and by σεA·w."""
    from dataclasses import replace

    z, noise = numbers(6, 2, seed=1), context().draws.normal((6, 2), "zcr")

    def terms(a: Tensor, w: Tensor, player: str) -> Terms:
        values = {"latent": z, "fake": z @ a, "on_fake": z @ a @ w}
        net = Functions(generator=lambda z: z @ a, discriminator=lambda x: x @ w)
        return Terms(zero(), values, net=net, context=replace(context(knobs={"zcr_radius": 0.05}), player=player))

    a, w = numbers(2, 5, seed=3), numbers(5, seed=4)
    moved = 0.05 * noise @ a
    return [
        Example("discriminator", lambda w: penalty(terms(a, w, "discriminator")), (w,), (moved @ w).square().mean()),
        Example("generator", lambda a: penalty(terms(a, w, "generator")), (a,), -moved.square().sum(-1).mean()),
    ]


def effect() -> Effect:
    """A discriminator that sees less of a step in the latent space."""

    def seen(trained: Trained) -> float:
        z = numbers(256, trained.net.latent_dim).to(trained.images.val)
        step = 0.5 * numbers(*z.shape, seed=1).to(z)
        with torch.no_grad():
            at, near = (trained.net("discriminator", trained.net("generator", latent)) for latent in (z, z + step))
        return float((at - near).square().mean())

    return Effect("gan", {"zcr_d": 100.0, "zcr_radius_d": 0.5}, seen, rises=False, least=0.1)
