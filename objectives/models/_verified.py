"""A user's model is tried out before it is trained: what its parts take and give, keep and draw."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from objectives.base import ObjectiveError
from objectives.draws import Listing, Live
from objectives.guests import guest
from objectives.models import _output
from objectives.models._borrowed import THROUGH, Borrowed, Form, called, one, triple
from objectives.models._layers import as_is
from objectives.models._output import Meaning
from objectives.state import Answers, apart

Expected = Mapping[str, tuple[int, tuple[int, ...]]]
Shape = tuple[int, int, int]
DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
RUNNING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
TRIED = 2  # images that a model is tried out on; batch normalization needs two
_KNOWN: dict[Any, dict[str, Form]] = {}  # what was found out about a user's function


@dataclass(frozen=True)
class Wanted:
    """What a family expects of a user's model: its parts, the shape of an image, what each part's output means, and what the user says."""

    expected: Expected
    shape: Shape
    latent_dim: int
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    output: str | None = None


class Fault(Exception):  # noqa: N818
    """What is wrong with one part."""


def built(name: str, make: Callable[..., Any], wanted: Wanted) -> dict[str, nn.Module]:
    """What a user's function returns for these images, as the objective calls it. What was found out once is not tried again.

    Raises:
        ObjectiveError: it is something else, or the function raises. All faults are in one message.
    """
    call = f"model {name!r}: {name.partition(':')[2]}({wanted.shape}, {wanted.latent_dim})"
    try:
        with guest(f"model {name!r}", "while it is built"):
            found = _made(make, wanted)
    except ObjectiveError:
        raise
    except Exception as error:
        raise ObjectiveError(f"{call} must return the parts of a model; it raises {told(error)}. Correct the function.") from error
    parts, methods = _parts(found, wanted)
    if wrong := _misnamed(found, parts, wanted):
        raise ObjectiveError(f"{call}: {wrong}")
    key = (make, str(wanted))
    if key not in _KNOWN:
        faults, forms = [], {}
        for part, module in parts.items():
            try:
                with guest(f"model {name!r}", f"while the {part} is tried out"):
                    forms[part] = _form(part, module, methods.get(part, "forward"), wanted)
            except Fault as fault:
                faults.append(str(fault))
        if faults:
            raise ObjectiveError("\n".join(f"{call}: {fault}" for fault in faults))
        _KNOWN[key] = forms
    return {part: Borrowed(module, _KNOWN[key][part], whole=isinstance(found, nn.Module)) for part, module in parts.items()}


def remarks(parts: Mapping[str, nn.Module]) -> list[str]:
    """What a user should know of how the parts of their model are used, in words."""
    said = []
    for part, module in parts.items():
        if not isinstance(module, Borrowed):
            continue
        form, own = module.form, module.module
        if form.link in _output.SAID:
            said.append(f"the {part} {_output.SAID[form.link]}")
        dropouts = sorted({str(layer) for layer in own.modules() if isinstance(layer, DROPOUT)})
        if form.draws:
            what = f"has {', '.join(dropouts)}, which stays as it is" if dropouts else "draws random numbers"
            said.append(f"the {part} {what}; each member's come from its own seed")
    if any(isinstance(layer, RUNNING) and layer.track_running_stats for module in parts.values() for layer in module.modules()):
        said.append("batch normalization keeps running statistics of each member: training moves them, evaluation uses them")
    return list(dict.fromkeys(said))


def told(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


# What was returned -----------------------------------------------------------------------------------------------------------------------


def _made(make: Callable[..., Any], wanted: Wanted) -> Any:
    """What a user's function or class makes of the shape of an image and the size of a code, as far as it takes them."""
    known = {"shape": wanted.shape, "latent_dim": wanted.latent_dim}
    try:
        takes = inspect.signature(make).parameters
    except (TypeError, ValueError):
        return make(wanted.shape, wanted.latent_dim)
    needed = [one for one in takes.values() if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if len(needed) >= len(known) or any(one.kind is one.VAR_POSITIONAL for one in takes.values()):
        return make(wanted.shape, wanted.latent_dim)
    return make(**{name: value for name, value in known.items() if name in takes})


def _parts(found: Any, wanted: Wanted) -> tuple[dict[str, Any], dict[str, str]]:
    """The named parts of what was returned, and by which methods one module is several of them."""
    if isinstance(found, Mapping):
        return dict(found), {}
    if isinstance(found, nn.Module) and set(wanted.expected) == {"encoder", "decoder"}:
        for pair in (("encode", "decode"), ("encoder", "decoder")):
            if all(callable(getattr(found, method, None)) for method in pair) and (pair[0] == "encode" or _is_composed(found, wanted)):
                return {"encoder": found, "decoder": found}, {"encoder": pair[0], "decoder": pair[1]}
        if "posterior" in wanted.meanings.values() and not isinstance(found, nn.Sequential):
            return {"encoder": found, "decoder": found}, {"encoder": THROUGH + " encoder", "decoder": THROUGH + " decoder"}
    return {}, {}


def _is_composed(module: nn.Module, wanted: Wanted) -> bool:
    """Whether a module's forward is its `decoder` of its `encoder`."""
    takes = wanted.expected["encoder"][0]
    for view in ((takes,), wanted.shape):
        x = torch.rand(TRIED, *view, generator=torch.Generator().manual_seed(0))
        try:
            with apart(module), torch.no_grad():
                module.eval()
                whole, halves = module(x), module.decoder(module.encoder(x))  # type: ignore[operator]
                return isinstance(whole, Tensor) and torch.equal(whole, halves)
        except Exception:
            continue
    return False


def _misnamed(found: Any, parts: Mapping[str, Any], wanted: Wanted) -> str:
    """The fault of what was returned as a whole."""
    names = ", ".join(sorted(wanted.expected)) or "names"
    if not isinstance(found, Mapping) and not parts:
        whole = "encoder" in wanted.expected
        also = " Or return one torch.nn.Module with the methods encode(x) and decode(z)" if whole else ""
        also += ", or whose forward(x) returns (output, mean, log-variance)." if "posterior" in wanted.meanings.values() else "." * whole
        return f"a model must be a dict of parts, {names}; got {type(found).__name__}. Return {{name: torch.nn.Module, …}}.{also}"
    if wanted.expected and set(parts) != set(wanted.expected):
        return f"the parts must be {names}; got {', '.join(sorted(map(str, parts))) or 'none'}. Rename, add or remove parts."
    strange = [f"{part} is {type(module).__name__}" for part, module in parts.items() if not isinstance(module, nn.Module)]
    return f"every part must be a torch.nn.Module; {', '.join(strange)}." if strange else ""


# One part --------------------------------------------------------------------------------------------------------------------------------


def _form(part: str, module: nn.Module, method: str, wanted: Wanted) -> Form:
    """How a part is called.

    Raises:
        Fault: it cannot be called as a part.
    """
    if not any(parameter.requires_grad for parameter in module.parameters()):
        count = sum(1 for _ in module.parameters())
        said = f"its {count} parameters are frozen (requires_grad=False)" if count else "it has none"
        raise Fault(f"the {part} must have parameters to train; {said}.")
    if part not in wanted.expected:
        return Form()
    takes, gives = wanted.expected[part]
    meaning = wanted.meanings.get(part, "")
    first, half = method.partition(" ")[::2]
    form = Form(method=first, gives=gives, half=half, hidden=not half and takes_hook(getattr(module, first)))  # type: ignore[arg-type]
    views = [(), wanted.shape] if part in ("encoder", "discriminator") or takes != wanted.latent_dim else [(), (takes, 1, 1)]
    form = _halves(part, module, form, wanted) if half else replace(form, view=_view(part, module, form, views, wanted))
    form = _drawn(part, module, form, takes)
    if half and form.draws:
        rule = "a module whose forward is encoder and decoder at once must draw nothing but the noise of its code"
        raise Fault(f"{rule}; it draws more (dropout?). Give it encode(x) and decode(z).")
    if meaning in ("logits", "pixels"):
        form = replace(form, link=_linked(part, meaning, Borrowed(module, form), wanted))
    return form


def takes_hook(method: Callable[..., Any]) -> bool:
    """Whether a module is called as part(x, hidden): its second argument must be given, or is called `hidden`."""
    method = getattr(method, "forward", method)
    try:
        takes = list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):
        return False
    ordinary = [one for one in takes if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return len(ordinary) > 1 and (ordinary[1].default is inspect.Parameter.empty or ordinary[1].name == "hidden")


def _view(part: str, module: nn.Module, form: Form, views: Sequence[tuple[int, ...]], wanted: Wanted) -> tuple[int, ...]:
    """The shape of one input with which a part gives what it must, on zeros.

    Raises:
        Fault: it does with none.
    """
    said: list[str] = []
    takes, meaning = wanted.expected[part][0], wanted.meanings.get(part, "")
    gives = f"(n, {', '.join(map(str, form.gives))})" if form.gives else "(n,)"
    for view in dict.fromkeys(views):
        shown = f"(n, {', '.join(map(str, view or (takes,)))})"
        try:
            with apart(module), torch.no_grad():
                out = called(module, replace(form, view=view), torch.zeros(TRIED, takes), as_is)
        except Exception as error:
            said.append(f"with x of shape {shown} and n = {TRIED} it raises {told(error)}")
            continue
        if wrong := _misshapen(out, form.gives, meaning, wanted.shape):
            raise Fault(f"the {part} must make {gives} of {shown}; with n = {TRIED} it makes {wrong}")
        if not bool(one(out, TRIED, form.gives).isfinite().all()):
            raise Fault(f"the {part} must give finite numbers; it makes some of zeros that are not.")
        return view
    how = f"{part}(x, hidden), where `hidden` is a function through which it passes hidden activations" if form.hidden else f"{part}(x)"
    raise Fault(f"the {part} must be callable as {how}; {', and '.join(said)}.")


def _misshapen(out: Any, gives: tuple[int, ...], meaning: str, shape: Shape) -> str:
    """What is wrong with the shape of an output, in words; empty where nothing is."""
    if isinstance(out, tuple | list):
        pair = [tuple(one.shape) for one in out if isinstance(one, Tensor)]
        if meaning == "posterior" and len(out) == len(pair) == 2 and all(one.numel() == TRIED * gives[0] // 2 for one in out):
            return ""
        want = f"Return (mean, log-variance), (n, {gives[0] // 2}) each. " if meaning == "posterior" else "Return one tensor. "
        made = ", ".join(map(str, pair if len(pair) == len(out) else [type(one).__name__ for one in out]))
        return f"{type(out).__name__} of {made}. {want}{_size(out[0] if pair else None, gives, meaning)}"
    if not isinstance(out, Tensor):
        return f"{type(out).__name__}; it must return a tensor."
    # Sizes of 1 do not matter: a discriminator gives (n, 1, 1, 1), a decoder of gray images (n, height, width).
    own, known = _sizes(out.shape[1:]), [_sizes(gives)]
    if math.prod(shape) == math.prod(gives):
        known.append(_sizes(shape))
    return "" if out.ndim and len(out) == TRIED and own in known else f"{tuple(out.shape)}. {_size(out, gives, meaning)}".strip()


def _sizes(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]


def _size(out: Tensor | None, gives: tuple[int, ...], meaning: str) -> str:
    """A remedy where a code has another size than the knob `latent_dim` says."""
    if out is None or meaning not in ("posterior", "codes") or out.ndim != 2:
        return ""
    return "Does the model use latent_dim? Else fix it to the model's own size: `--set fixed.latent_dim=…`."


# What it keeps and draws -----------------------------------------------------------------------------------------------------------------


def _drawn(part: str, module: nn.Module, form: Form, takes: int) -> Form:
    """The form with what a part draws and hooks, in training and in evaluation.

    Raises:
        Fault: it draws otherwise than by the calls that can be answered.
    """
    x = torch.rand(TRIED, takes, generator=torch.Generator().manual_seed(1))
    trial = Borrowed(module, form)
    seen: list[int] = []

    def hook(h: Tensor) -> Tensor:
        seen.append(1)
        return h

    listed = Listing(x)
    for mode in (True, False):
        outs = []
        with apart(module), torch.no_grad():
            trial.train(mode)
            before = torch.random.get_rng_state()
            with Answers(listed):
                trial(x, hook)
            if not torch.equal(before, torch.random.get_rng_state()):
                rule = "dropout, randn, rand, randn_like, rand_like, normal or bernoulli"
                raise Fault(f"the {part} must draw random numbers by {rule}, which members get from their own seeds; it draws otherwise.")
        for _ in range(2):
            with apart(module), torch.no_grad(), Answers(Live(0)):
                trial.train(mode)
                outs.append(trial(x, as_is))
        if not torch.equal(*outs):
            raise Fault(
                f"the {part} must give the same for the same weights, images and draws of torch; two calls give different numbers. Does it "
                "draw from numpy or `random`, or count its calls?"
            )
    return replace(form, draws=bool(listed.requests), hooked=bool(seen))


def _halves(part: str, module: nn.Module, form: Form, wanted: Wanted) -> Form:
    """The form of one half of a module whose forward is encoder and decoder at once.

    Raises:
        Fault: its forward does not return (output, mean, log-variance), or the output is not a function of the code alone.
    """
    takes, z = wanted.expected["encoder"][0], wanted.latent_dim
    rule = "a module without encode(x) and decode(z) must have a forward(x) that returns (output, mean, log-variance)"
    x = torch.rand(TRIED, takes, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(TRIED, z, generator=torch.Generator().manual_seed(3))
    said = ""
    for view in ((), wanted.shape):
        form = replace(form, view=view, image=(takes,))
        try:
            with apart(module), torch.no_grad():
                found = triple(module, form, x, noise)
        except Exception as error:
            said = said or f"it raises {told(error)}"
            continue
        sizes = [one.numel() // TRIED if isinstance(one, Tensor) else -1 for one in found]
        if sizes != [takes, z, z]:
            raise Fault(f"{rule}, of {takes}, {z} and {z} numbers an image; its results have {sizes}.")
        break
    else:
        raise Fault(f"{rule}; {said}.")
    with apart(module), torch.no_grad():
        module.eval()
        decoder = Borrowed(module, replace(form, half="decoder", gives=(takes,)))
        one_way = triple(module, form, x, noise)
        code = one_way[1] + (0.5 * one_way[2]).exp() * noise
        other = decoder(code)
        direct = one_way[0].reshape(TRIED, -1)
    if not torch.allclose(direct, other, rtol=1e-3, atol=1e-4 * float(1 + direct.abs().max())):
        raise Fault(
            "its output must be a function of mean + exp(log-variance / 2) · noise alone, so that it can be asked for any code; here it is "
            "not. Is the third result a variance or a deviation? Does the decoder see the image? Give the module encode(x) and decode(z)."
        )
    return replace(form, keeps=_own_buffers(module, form, x, noise, part))


def _own_buffers(module: nn.Module, form: Form, x: Tensor, noise: Tensor, part: str) -> frozenset[str]:
    """The buffers that one half changes: those of the decoder depend on the noise."""
    after = []
    for one_noise in (noise, -2 * noise):
        with apart(module), torch.no_grad():
            module.train()
            triple(module, form, x, one_noise)
            after.append({name: value.clone() for name, value in module.named_buffers()})
    behind = {name for name, value in after[0].items() if not torch.equal(value, after[1][name])}
    # A count of batches depends on nothing; it goes with the other buffers of its layer.
    layers = {name.rpartition(".")[0] for name in behind}
    decoder = {name for name in after[0] if name.rpartition(".")[0] in layers}
    return frozenset(decoder if part == "decoder" else set(after[0]) - decoder)


# Its range -------------------------------------------------------------------------------------------------------------------------------


def _linked(part: str, meaning: Meaning, module: Borrowed, wanted: Wanted) -> Any:
    """What makes of the output of a part what the family expects."""
    asked = wanted.output if part in ("decoder", "generator") else None
    try:
        found = _output.kind(_output.samples(module, wanted.expected[part][0]))
        link, fault = _output.link(part, meaning, found, asked, wanted.shape)
    except Exception as error:
        raise Fault(f"the {part} must give numbers for any input; for random ones it raises {told(error)}.") from error
    if fault:
        raise Fault(fault)
    return link
