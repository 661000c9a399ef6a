"""Augmentation: every training image rotated and shifted at random, with one strength m for both.

    T_m: rotation by U(−15°, 15°)·m about the middle, then a shift by U(−3/28, 3/28)·m of the side along each axis; bilinear, black enters

The augmented image is also the target of the reconstruction. At m = 1 a digit of 28 pixels moves by up to 3 of them. Each image has its own
random numbers, drawn anew in every step. Nothing is flipped: see `flip`.
Units: m is a share of the full transform. Where: training images of autoencoders and VAEs; on the device, one strength per member.
Not for GANs: augmenting the real images only teaches the generator to draw augmented ones (`diffaug`, `ada` augment both). Cost: 10–30 %.

Pitfalls: interpolation blurs; real-valued data that are no pictures (noisy_linear) have nothing to rotate.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._transforms import turned
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers
from objectives.terms import Context

KNOB = Knob(
    name="augmentation",
    summary="strength of random rotations and shifts of the training images",
    formula="x ← T_m(x), rotation ± 15°·m, shift ± 3/28·m of the side",
    unit="share of the full transform",
    default=0.0,
    low=0.0,
    high=1.0,
    off=0.0,
    more="high",
    where="training images",
    cost="10–30 %",
    source="source document S4 (rotation 10°), Simard et al. 2003",
)
ON = ("autoencoder", "vae")
DEGREES = 15.0
SHIFT = 3 / 28


def augment(x: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """Rotated and shifted images; at 0 the images themselves, to the bit."""
    strength = torch.as_tensor(value, dtype=x.dtype)
    u = 2 * context.draws.uniform((len(x), 3), "augmentation") - 1
    return torch.where(strength == 0, x, turned(x, context.shape, DEGREES * strength * u[:, 0], SHIFT * strength * u[:, 1:]))


def examples() -> list[Example]:
    """scipy's affine transform with the same angles and shifts, on images of 8×8 and 6×9; and off."""
    from scipy.ndimage import affine_transform

    def by_scipy(x: Tensor, shape: tuple[int, int, int], strength: float) -> Tensor:
        _, height, width = shape
        u = 2 * context().draws.uniform((len(x), 3), "augmentation") - 1
        moved = []
        for image, (turn, right, down) in zip(x.view(-1, height, width), u * strength, strict=True):
            angle = torch.deg2rad(DEGREES * turn)
            # From where, as (row, column) about the middle: first the shift is undone, then the rotation.
            back = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
            middle = torch.tensor([(height - 1) / 2, (width - 1) / 2]).double()
            by = torch.stack([down * SHIFT * height, right * SHIFT * width])
            offset = middle - back @ (middle + by)
            moved.append(torch.as_tensor(affine_transform(image, back.numpy(), offset.numpy(), order=1, mode="grid-constant")))
        return torch.stack(moved).flatten(1)

    def example(why: str, shape: tuple[int, int, int]) -> Example:
        x = numbers(5, shape[1] * shape[2])
        return Example(why, lambda x: augment(x, context(shape=shape), 0.8), (x,), by_scipy(x, shape, 0.8))

    x = numbers(5, 64)
    return [
        example("8×8", (1, 8, 8)),
        example("6×9", (1, 6, 9)),
        Example("off", lambda x: augment(x, context(), 0.0), (x,), x, rtol=0, atol=0),
    ]


def effect() -> Effect:
    """A smaller error on validation images that are moved by a pixel."""

    def error_when_moved(trained: Trained) -> float:
        image = trained.images.val
        x = torch.cat([torch.zeros_like(image[..., :1]), image[..., :-1]], -1).flatten(1)
        with torch.no_grad():
            rebuilt = trained.net("decoder", trained.net("encoder", x))
        return float(0.5 * (rebuilt - x).square().sum(-1).mean())

    return Effect("autoencoder", {"augmentation": 1.0}, error_when_moved, rises=False, least=0.02, epochs=20)
