"""ADA, adaptive augmentation of what the discriminator sees. It augments just enough to keep D from knowing its training images by heart.

    p ← clip(p + sign(r − r_t)·B/N, 0, 1) after each step of D,    r = E sign(D(x)) on real images,    N = `ada_images`

λ is the target r_t. r is 0 where D is undecided, and 1 where D calls every training image real. Above r_t, p rises. The augmentations are
those of `diffaug`, each with probability p (the paper's pipeline is longer; its target of .6 was found with it). p begins at 0.
A *lower* target augments more. r never exceeds 1, so 1 is off. N is how many images D sees while p goes from 0 to 1: 500,000 in the
paper, of 25 million; the default here is for shorter trainings.
Units: r_t is a mean sign. Where: the discriminator's input, in both players' steps. Cost: 10–30 %.

Pitfalls: r needs logits that are positive for real images. A Wasserstein critic has no such logits, because they have no zero. Not beside
`diffaug`.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._transforms import EAGER, differentiable, memorized
from objectives.regularizers._truths import Effect, Example, context, numbers, zero
from objectives.terms import Context, Terms

KNOB = Knob(
    name="ada",
    summary="target of adaptive augmentation: the mean sign of D on real images above which augmentation grows; 1 is off",
    formula="p ← p + sign(E sign D(x) − r_t)·B/N",
    unit="mean sign",
    default=1.0,
    low=0.5,
    high=0.8,
    off=1.0,
    more="low",
    where="discriminator's input",
    cost="10–30 %",
    source="Karras et al. 2020 (StyleGAN2-ADA, .6)",
)
COMPANIONS = (
    Knob(
        name="ada_images",
        summary="images that D sees while p goes from 0 to 1",
        formula="N",
        unit="images",
        default=5e4,
        low=1e3,
        high=1e6,
        log=True,
        where="discriminator's input",
        source="Karras et al. 2020 (5e5)",
    ),
)
ON = ("gan.discriminator",)
PROBED = {"p": 0.5}  # the value at which `lagrange check` looks: the first p is 0, and changes nothing
CONFLICTS = (
    Rule(
        "augmented_twice",
        "error",
        both("diffaug", "ada"),
        "{}: both augment what the discriminator sees. Keep one.",
        broken=sweep("gan", "diffaug", "ada"),
        kept=sweep("gan", "diffaug", "cr"),
    ),
)


def memory(kernels: dict[str, Tensor]) -> dict[str, Tensor]:
    """p."""
    return {"p": next(iter(kernels.values())).new_zeros(())}


def corrupt(x: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """Each augmentation with probability p, each image for itself."""
    return differentiable(x, context.shape, _unless_off(context.memory["p"], value), context.draws, "ada")


def _unless_off(p: Tensor, value: Tensor | float) -> Tensor:
    return torch.where(torch.as_tensor(value, dtype=p.dtype) == 1.0, torch.zeros_like(p), p)


def observe(terms: Terms, value: Tensor | float) -> None:
    """Move p after a step of D."""
    context, real = terms.context, terms.values["on_real"]
    step = (real.sign().mean() - value).sign() * len(terms.values["real"]) / context.knobs["ada_images"]
    p = (context.memory["p"] + step).clamp(0, 1)
    context.memory.put("p", _unless_off(p, value))


def examples() -> list[Example]:
    """p after one step, at either side of the target; and what it does to images."""
    start = {"p": torch.tensor(0.5).double()}

    def after(real: Tensor, target: float = 0.6) -> Tensor:
        now = context(knobs={"ada_images": 400.0}, memory=start)
        observe(Terms(zero(), {"real": real[:, None], "on_real": real}, context=now), target)
        return now.memory["p"]

    def same(x: Tensor) -> Tensor:
        return (corrupt(x, context(memory=start), 0.6) == x).all(-1).double().mean()

    sure, unsure = torch.tensor([1.0, 2.0, 0.1, 3.0]).double(), torch.tensor([1.0, 2.0, 0.1, -3.0]).double()
    x = numbers(5, 64)
    return [
        Example("r = 1 > 0.6: p rises by 4/400", after, (sure,), 0.51, smooth=False),
        Example("r = 0.5 < 0.6: p falls by 4/400", after, (unsure,), 0.49, smooth=False),
        Example("off: p is 0", lambda real: after(real, 1.0), (sure,), 0.0, smooth=False),
        Example("p = 0 is the identity", lambda x: corrupt(x, context(memory={"p": zero()}), 0.6), (x,), x),
        Example("p = ½ leaves (5/9)(½)²", same, (torch.full((20_000, 64), 0.5).double(),), 0.5**2 * (0.5 + 0.5 / 9), 0.03, smooth=False),
    ]


def effect() -> Effect:
    """A discriminator that knows its training images less well from others."""
    # Seen with 32 images, 100 epochs and the lsgan loss: 0.15 ± 0.04 (standard deviation over seeds) without, 0.04 ± 0.03 with. Not seen
    # with the non-saturating loss in the same time, nor with 256 images and 20 epochs, where D knows nothing by heart yet.
    on = {"ada": 0.5, "ada_images": 1e3}
    always = {**EAGER, "loss": "lsgan"}
    return Effect("gan", on, memorized, rises=False, least=0.2, always=always, epochs=100, images=32, seeds=16, signed=True)
