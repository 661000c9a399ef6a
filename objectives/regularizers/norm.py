"""Normalization of every hidden activation: batch, layer, instance or group. It is a choice, not a strength.

    y = (x − E x) / √(Var x + 10⁻⁵),    E and Var over …

    batch      the images of the batch (and the pixels of a feature map), for each unit or map
    layer      all units of an image
    instance   the pixels of a map, for each image and map; an activation without maps (n, F) has none and is refused
    group      the units, or maps with their pixels, of a group, for each image; `norm_groups` groups, or the nearest smaller divisor

It acts after the activation function and has no scale and shift of its own, because the linear layer that follows absorbs them. Where a
model already normalizes (the generator of the model `mlp`), this comes in addition. Units: none, and no end is the more regularized one.
Where: hidden activations of every network, one choice per player in a GAN. Structural: members that differ in it are not stacked. Cost: 3–8
%.

Caveats. `batch` uses the statistics of the current batch, at evaluation too, as the project's GAN generator does. Running statistics would
be a state of the model that is neither trained nor scored. So a score depends on which images are evaluated together (the splits and their
order are fixed, so it is reproducible), and one image alone cannot be evaluated. Under `batch` a discriminator couples images. Gradient
penalties are per image, so they want `layer`, `group` or none. The length of a kernel before a normalization matters little. So a weight
penalty on it sets the effective learning rate, not the capacity (biases weaken both effects).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from objectives.base import Knob, ObjectiveError
from objectives.lazy import Tensor, functional, torch
from objectives.regularizers._rules import Rule, Seen, sweep
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers
from objectives.terms import Context

KNOB = Knob(
    name="norm",
    summary="normalization of every hidden activation",
    formula="y = (x − E x) / √(Var x + ε)",
    unit="-",
    default="none",
    off="none",
    choices=("none", "batch", "layer", "instance", "group"),
    structural=True,
    where="hidden activations",
    cost="3–8 %",
    source="Ioffe & Szegedy 2015; Ba et al. 2016; Ulyanov et al. 2016; Wu & He 2018",
)
COMPANIONS = (
    Knob(
        name="norm_groups",
        summary="groups of norm=group, or the nearest smaller divisor of the number of units or maps",
        formula="g",
        unit="groups",
        default=8,
        low=1,
        high=32,
        integer=True,
        structural=True,
        where="hidden activations",
        source="Wu & He 2018 (32)",
    ),
)
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")
TRAITS = ("fixes_scale",)
ALWAYS = True
# With these values an image's activation depends on the other images of its batch. A model that is used alone gets `fixed` in their place.
COUPLES = ("batch",)
# The choices that every model can use: the others need feature maps.
ANY_MODEL = ("batch", "layer", "group")
EPSILON = 1e-5


def _batch(seen: Seen) -> str:
    """The knob that may give the discriminator batch normalization; empty if none may."""
    name = seen.discriminator("norm")
    return name if name and "batch" in seen.intent.on[name] else ""


def _penalized(seen: Seen) -> Iterator[str]:
    if norm := _batch(seen):
        yield from (f"{name} and {norm}=batch" for stem in seen.having("gradient_penalty") if (name := seen.discriminator(stem)))


def _of_critic(seen: Seen) -> Iterator[str]:
    norm = _batch(seen)
    if norm and seen.may_be("loss", "wasserstein"):
        yield f"loss=wasserstein and {norm}=batch"


CONFLICTS = (
    Rule(
        "penalized_batch_norm",
        "warning",
        _penalized,
        "{}: a gradient penalty is one image's, and batch normalization couples images. Use layer, group or none in the discriminator.",
        broken=sweep("gan", "wgan_gp", loss=("non_saturating",), norm_d=("batch", "layer")),
        kept=sweep("gan", "wgan_gp", loss=("non_saturating",), norm_d=("layer", "group"), norm_g=("batch",)),
    ),
    Rule(
        "wasserstein_batch_norm",
        "warning",
        _of_critic,
        "{}: batch normalization couples images, and the critic's bound is on one image. Use layer, group or none in the discriminator.",
        broken=sweep("gan", "weight_clip", loss=("wasserstein",), norm_d=("batch",)),
        kept=sweep("gan", "weight_clip", loss=("non_saturating",), norm_d=("batch",)),
    ),
)


def layer(hidden: Tensor, context: Context, value: str) -> Tensor:
    """The normalized activation (n, F) or (n, C, H, W)."""
    if value == "none":
        return hidden
    if value == "instance" and hidden.ndim < 3:
        shape = f"(n, {', '.join(str(size) for size in hidden.shape[1:])})"
        raise ObjectiveError(f"norm=instance needs feature maps (n, C, H, W); got {shape}. Take layer or group, or a model with maps.")
    if value == "group":
        groups = _groups(hidden.shape[1], int(context.options["norm_groups"]))
        return _normalized(hidden.reshape(len(hidden), groups, -1), (2,)).reshape(hidden.shape)
    pixels = tuple(range(2, hidden.ndim))
    return _normalized(hidden, {"batch": (0, *pixels), "layer": (1, *pixels), "instance": pixels}[value])


def moments(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance over a batch of activations (n, F) or (n, C, H, W), in shapes that broadcast to it."""
    over = (0, *range(2, hidden.ndim))
    mean = hidden.mean(over, keepdim=True)
    return mean, (hidden - mean).square().mean(over, keepdim=True)


def fixed(hidden: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """An activation that is normalized by given moments."""
    return (hidden - mean) * (variance + EPSILON).rsqrt()


def _groups(units: int, wanted: int) -> int:
    return max(g for g in range(1, min(units, wanted) + 1) if units % g == 0)


def _normalized(x: Tensor, over: tuple[int, ...]) -> Tensor:
    mean = x.mean(over, keepdim=True)
    variance = (x - mean).square().mean(over, keepdim=True)
    return (x - mean) * (variance + EPSILON).rsqrt()


def examples() -> list[Example]:
    """torch's functions, on units and on feature maps."""
    units, maps = numbers(5, 12), numbers(4, 6, 3, 2)

    def by(choice: str, groups: int = 4) -> Callable[[Tensor], Tensor]:
        return lambda x: layer(x, context(options={"norm_groups": groups}), choice)

    return [
        Example("batch, units", by("batch"), (units,), functional.batch_norm(units, None, None, training=True)),
        Example("batch, maps", by("batch"), (maps,), functional.batch_norm(maps, None, None, training=True)),
        Example("layer, units", by("layer"), (units,), functional.layer_norm(units, units.shape[1:])),
        Example("layer, maps", by("layer"), (maps,), functional.layer_norm(maps, maps.shape[1:])),
        Example("instance, maps", by("instance"), (maps,), functional.instance_norm(maps)),
        Example("4 groups, units", by("group"), (units,), functional.group_norm(units, 4)),
        Example("3 groups, for 4 do not divide 6 maps", by("group"), (maps,), functional.group_norm(maps, 3)),
        Example("none", by("none"), (units,), units),
    ]


def effect() -> Effect:
    """Activations that do not grow with the input: ten times the image does not give ten times the code."""

    def growth(trained: Trained) -> float:
        x = trained.images.val.flatten(1)
        with torch.no_grad():
            return float(trained.net("encoder", 10 * x).norm() / trained.net("encoder", x).norm())

    return Effect("autoencoder", {"norm": "layer"}, growth, rises=False, least=0.5)
