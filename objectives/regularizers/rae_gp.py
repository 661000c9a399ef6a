"""RAE-GP: a smooth decoder by a penalty on its gradient. Four quantities go by that name; `rae_gp_form` chooses.

    jacobian       E‖∂D/∂z‖²_F                 what the name promises; one Hutchinson probe
    input          E‖∂D(E(x))/∂x‖²_F           the paper's ‖∇D(E(x))‖², read as the Jacobian of the reconstruction in the image; one probe
    sum_squares    E‖∇_z Σ_pixels x̂²‖²        the official code: 2Jᵀx̂, which vanishes where x̂ does
    pythae         E‖∇_x Σ_pixels x̂‖²         pythae: sums of pixels, so opposite changes cancel; through the encoder

Source: Ghosh et al. 2020 (RAE-GP). Decoder of an autoencoder (`input` and `pythae` reach the encoder too); 60–100 %.
Units: beside ½SSE. The official code has mean over d latents of (∇_z Σx̂²)² beside SSE/D: λ = w·D/(2d) for `sum_squares`, so its
5e-8 for 32×32 and d = 16 is 1.6e-6. pythae has SSE: λ = w/2 for `pythae`. The range here is that of `jacobian`: ‖J‖² is some tens where
½SSE is some tenths to tens, so a λ below 1e-6 does nothing; a value of one form says nothing about another.
Pitfalls: longer codes make J smaller, so use it with `latent_l2`; a layer that couples images (batch normalization) mixes their gradients.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._probe import squared_gradient, squared_jacobian
from objectives.regularizers._truths import Effect, Example, Functions, Trained, context, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="rae_gp",
    summary="gradient penalty on the decoder",
    formula="λ·E‖∂D/∂z‖²_F",
    unit="nats per squared gradient",
    default=0.0,
    low=1e-6,
    high=1e-1,
    log=True,
    off=0.0,
    more="high",
    where="decoder",
    cost="60–100 %",
    source="Ghosh et al. 2020 (RAE-GP)",
)
COMPANIONS = (
    Knob(
        name="rae_gp_form",
        summary="which gradient is penalized",
        formula="jacobian: ∂D/∂z; input: ∂D(E(x))/∂x; sum_squares: ∇_z Σx̂²; pythae: ∇_x Σx̂",
        unit="-",
        default="jacobian",
        choices=("jacobian", "input", "sum_squares", "pythae"),
        structural=True,
        where="decoder",
        source="Ghosh et al. 2020; its official code; pythae",
    ),
)
ON = ("autoencoder",)


def penalty(terms: Terms) -> Tensor:
    """The squared gradient of the chosen form, averaged over the batch."""
    net, form, draws = terms.net, terms.context.options["rae_gp_form"], terms.context.draws
    x, z = terms.values["observed"], terms.values["latent"]

    def decode(z: Tensor) -> Tensor:
        out: Tensor = net("decoder", z)
        return out

    def rebuild(x: Tensor) -> Tensor:
        return decode(net("encoder", x))

    if form == "input":
        return squared_jacobian(rebuild, x, draws, "rae_gp").mean()
    if form == "sum_squares":
        return squared_gradient(lambda z: decode(z).square().sum(), z).mean()
    if form == "pythae":
        return squared_gradient(lambda x: rebuild(x).sum(), x).mean()
    return squared_jacobian(decode, z, draws, "rae_gp").mean()


def examples() -> list[Example]:
    """A linear model, of which each form has a closed form; the Jacobian of a curved one in expectation."""

    def of(form: str, x: Tensor, encoder: Tensor, decoder: Tensor, rows: int = 1) -> Tensor:
        net = Functions(encoder=lambda x: x @ encoder.mT, decoder=lambda z: z @ decoder.mT)
        values = {"observed": x.repeat(rows, 1), "latent": (x @ encoder.mT).repeat(rows, 1)}
        return penalty(Terms(zero(), values, net=net, context=context(options={"rae_gp_form": form})))

    def many(form: str) -> Tensor:
        return of(form, x, encoder, decoder, 40_000)

    def curved(rows: int) -> Tensor:
        net = Functions(decoder=lambda z: torch.tanh(z @ decoder.mT))
        values = {"observed": x.expand(rows, -1), "latent": code.expand(rows, -1)}
        return penalty(Terms(zero(), values, net=net, context=context(options={"rae_gp_form": "jacobian"})))

    x, encoder, decoder = numbers(1, 3), numbers(2, 3, seed=1), numbers(3, 2, seed=2)
    code = x @ encoder.mT
    rebuilt = decoder @ encoder
    jacobian = torch.func.jacrev(lambda z: torch.tanh(decoder @ z))(code[0])
    diagonal = torch.diag(torch.tensor([1.0, -2.0, 3.0]).double())  # JJᵀ diagonal: one probe of signs is exact
    three = numbers(5, 3)
    by_hand = {
        "jacobian": float(decoder.square().sum()),
        "input": float(rebuilt.square().sum()),
        "sum_squares": float((2 * decoder.mT @ decoder @ code[0]).square().sum()),
        "pythae": float(rebuilt.sum(0).square().sum()),
    }
    exact = [
        Example(f"{form}, linear", lambda x, e, d, form=form: of(form, x, e, d), (x, encoder, decoder), by_hand[form])
        for form in ("sum_squares", "pythae")
    ]
    expected = [
        Example(f"{form}, linear, many probes", lambda form=form: many(form), (), by_hand[form], rtol=0.02, smooth=False)
        for form in ("jacobian", "input")
    ]
    return [
        *exact,
        *expected,
        Example("1 + 4 + 9, one probe", lambda x, d: of("jacobian", x, torch.eye(3).double(), d), (three, diagonal), 14.0),
        Example("4·(1 + 4 + 9), one probe", lambda x, d: of("input", x, 2 * torch.eye(3).double(), d), (three, diagonal), 56.0),
        Example("tanh: torch.func.jacrev", lambda: curved(40_000), (), float(jacobian.square().sum()), rtol=0.02, smooth=False),
    ]


def effect() -> Effect:
    """A smaller Jacobian of the decoder, where codes cannot grow instead."""

    def measure(trained: Trained) -> float:
        with torch.no_grad():
            z = trained.net("encoder", trained.images.val[:100].flatten(1))
            jacobian = torch.func.vmap(torch.func.jacrev(lambda z: trained.net("decoder", z[None])[0]))(z)
        return float(jacobian.square().sum((-1, -2)).mean())

    return Effect("autoencoder", {"rae_gp": 3e-2}, measure, False, least=0.2, epochs=8, always={"latent_l2": 1e-2})
