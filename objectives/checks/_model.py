"""What makes every answer about a model worthless: parts that are not trained, that see nothing, or that leave their range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from objectives.data._kinds import ImageSet
from objectives.models import _output
from objectives.models._borrowed import Borrowed
from objectives.terms import Net
from objectives.training.mathematics import Mathematics

INPUTS = {"encoder": "image", "discriminator": "image", "decoder": "code", "generator": "code"}
SAMPLES = 16


def faults(
    family: Mathematics, net: Net, parts: Sequence[str], leaves: Sequence[Tensor], loss: Tensor, images: ImageSet
) -> list[tuple[str, str]]:
    """Names and messages.

    Args:
        family: what is trained.
        net: the model as it is evaluated, at general weights (no bias of 0), which are made of `leaves`.
        parts: the parts of one player.
        leaves: the player's trained parameters.
        loss: what this player descends.
        images: the data.
    """
    found: list[tuple[str, str]] = []
    reached = _reached(loss, leaves)
    for part in parts:
        if part in INPUTS:
            fault = _untrained(net, part, leaves, reached, images) or _blind(net, part, images) or _out_of_range(family, net, part, images)
            found += [fault] if fault else []
    return found


def _reached(value: Tensor, leaves: Sequence[Tensor]) -> list[bool]:
    """Which leaves a gradient of the value reaches."""
    if not value.requires_grad:
        return [False] * len(leaves)
    gradients = torch.autograd.grad(value, list(leaves), allow_unused=True, retain_graph=True)
    return [gradient is not None and bool(gradient.any()) for gradient in gradients]


def _untrained(net: Net, part: str, leaves: Sequence[Tensor], reached: Sequence[bool], images: ImageSet) -> tuple[str, str] | None:
    """No gradient of the loss reaches any of the parameters of which a part makes its output."""
    out = net(part, next(_inputs(net, part, images)))
    used = _reached((out * torch.linspace(1, 2, out.numel(), dtype=out.dtype, device=out.device).view_as(out)).sum(), leaves)
    if any(one and other for one, other in zip(used, reached, strict=True)):
        return None
    said = f"no gradient of the loss reaches the {part}, so it is never trained"
    return f"frozen {part}", f"{said}. Look for detach(), no_grad(), .data, or an activation that is flat everywhere."


def _blind(net: Net, part: str, images: ImageSet) -> tuple[str, str] | None:
    """A part gives the same for every input; or a decoder lets no gradient through to its code."""
    what = INPUTS[part]
    xs = [x.clone().requires_grad_() for x in _inputs(net, part, images)]
    outs = [net(part, x) for x in xs]
    if all(torch.allclose(out, out[:1].expand_as(out), rtol=1e-9, atol=1e-12) for out in outs):
        said = f"the {part} gives the same for {SAMPLES} different {what}s"
        return f"{part} ignores its {what}", f"{said}. Does its output depend on its input?"
    if part == "decoder" and not any(_reached(out.square().sum(), [x])[0] for x, out in zip(xs, outs, strict=True)):
        said = "no gradient passes through the decoder to its code, so the encoder learns nothing from it"
        return "decoder ignores its code", f"{said}. Look for detach() or rounding."
    return None


def _inputs(net: Net, part: str, images: ImageSet) -> Iterator[Tensor]:
    """Real images, or random codes, small and large."""
    if INPUTS[part] == "image":
        x = images.val[:SAMPLES].flatten(1)
        yield x.repeat(1, int(net.options.get("packing", 1))) if part == "discriminator" else x
        return
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(SAMPLES, net.latent_dim, generator=generator, dtype=images.val.dtype).to(images.val.device)
    yield from (z, 100 * z)


def _out_of_range(family: Mathematics, net: Net, part: str, images: ImageSet) -> tuple[str, str] | None:
    """A user's part that is meant for logits never leaves [0, 1]; or a generator of images in [0, 1] leaves them. Ours keep a contract."""
    meaning = family.meanings.get(part, "")
    if not isinstance(net.module(part), Borrowed) or meaning not in ("logits", "pixels") or (meaning == "pixels" and part != "generator"):
        return None
    takes = family.parts(images.shape, net.latent_dim)[part][0]
    found, low, high = _output.kind(_output.samples(net.module(part), takes))
    reached = f"on large random {INPUTS[part]}s it reaches {low:.3g} to {high:.3g}"
    if meaning == "logits" and found in ("unit", "positive"):
        also = (
            "Take the sigmoid out, or say output: probabilities"
            if found == "unit" and part == "decoder"
            else "Let it end in a linear layer"
        )
        rule = (
            f"the {part} must give logits, which are negative where a pixel is likely 0"
            if part == "decoder"
            else f"the {part} must give logits"
        )
        return f"{part} gives no logits", f"{rule}; {reached}. {also}."
    picture = min(images.shape[1:]) > 1 and 0 <= float(images.train.min()) <= float(images.train.max()) <= 1
    if part == "generator" and picture and found in ("free", "positive"):
        rule = "the generator must give pixels in [0, 1], as the data are"
        return "generator out of range", f"{rule}; {reached}. Let it end in a sigmoid or a tanh, or say output: logits."
    return None
