"""The spec: faults all at once, defaults written out, YAML there and back."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.registry import load
from search.errors import SpecError
from search.spec import resources as spec_resources
from search.spec.keys import Range, Spec
from search.spec.reading import expand, read, resolve
from search.spec.text import parse_yaml, presets

pytestmark = pytest.mark.turns(2)


def faults(mapping: Any, overrides: tuple[str, ...] = (), **options: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(mapping, overrides, **options)
    return caught.value.faults


def the_fault(mapping: dict[str, Any], overrides: tuple[str, ...] = ()) -> str:
    found = faults({"objective": "vae", **mapping}, overrides)
    assert len(found) == 1, found
    return found[0]


def test_only_the_objective_is_needed_and_its_defaults_are_written_out() -> None:
    spec, vae = read({"objective": "vae"}), load("vae")
    assert spec.search is not None and tuple(spec.search) == vae.default_search
    assert spec.search["beta"] == Range(low=0.01, high=10, log=True)
    assert (spec.model, spec.dataset.name, spec.budget.epochs, spec.metric) == (vae.models[0], "digits", vae.default_epochs, vae.score)
    assert spec.likelihood == vae.likelihoods[0]
    assert spec.simplify == ("beta",)


@pytest.mark.parametrize("objective", ["autoencoder", "vae", "gan"])
def test_every_knob_can_be_searched_over_its_own_range(objective: str) -> None:
    for knob in load(objective).knobs.values():
        wanted = list(knob.choices) if knob.choices else {}
        likelihood = {"likelihood": knob.likelihood} if knob.likelihood else {}
        spec = read({"objective": objective, "search": {"dropout": {}, knob.name: wanted}, "scheduler": "none", **likelihood})
        assert spec.search is not None and knob.name in spec.search


def test_the_whole_spec_of_the_documentation_is_read() -> None:
    text = """
objective: vae
model: mlp400
dataset: {name: digits, root: null, train_size: null}
likelihood: bernoulli
search: {beta: {low: 0.01, high: 10}, l2: {}, lr: {low: 1e-4, high: 1e-2}, latent_dim: [8, 16]}
fixed: {dropout: 1e-1}
points: [{beta: 1e+0}]
sampler: tpe
scheduler: asha
budget: {trials: 24, epochs: 20, wall_minutes: null}
confirm: {configs: 5, seeds: 5}
score: last
resources: {cpu: 1, gpu: 0}
seed: 0
"""
    spec = read(parse_yaml(text))
    assert spec.search is not None
    assert spec.search["lr"] == Range(low=1e-4, high=1e-2, log=True)
    assert spec.search["latent_dim"] == (8, 16)
    assert spec.fixed == {"dropout": 0.1}, "1e-1 is a number, though YAML 1.1 reads it as text"
    assert spec.points == ({"beta": 1.0},)


def test_five_faults_are_five_messages() -> None:
    found = faults(
        {
            "objective": "vae",
            "modle": "mlp400",
            "search": {"beta": {"low": 3, "high": 1}, "bta": {}},
            "sampler": "tpee",
            "budget": {"trials": 0},
        }
    )
    assert len(found) == 5
    for words in ("'modle'", "low 3, high 1", "'bta'", "'tpee'", "budget.trials"):
        assert sum(words in fault for fault in found) == 1, (words, found)


def test_a_spec_without_an_objective_still_reports_the_rest() -> None:
    found = faults({"objectiv": "vae", "sampler": "tpee", "budget": {"trials": 0}})
    assert len(found) == 4
    assert any("Did you mean 'objective'?" in fault for fault in found)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"objective": "vea"}, ["'vea'", "Did you mean 'vae'?", "autoencoder"]),
        ({"model": "mlp40"}, ["'mlp40'", "Did you mean 'mlp400'?"]),
        ({"dataset": {"name": "mnst"}}, ["'mnst'", "Did you mean 'mnist'?", "digits"]),
        ({"dataset": {"name": "digits", "trainsize": 3}}, ["'trainsize'", "train_size"]),
        ({"search": {"bta": {}}}, ["'bta'", "Did you mean 'beta'?"]),
        ({"fixed": {"dropuot": 0.1}}, ["'dropuot'", "Did you mean 'dropout'?"]),
        ({"sampler": "tpee"}, ["'tpee'", "Did you mean 'tpe'?", "qmc"]),
        ({"scheduler": "ahsa"}, ["'ahsa'", "Did you mean 'asha'?", "none"]),
        ({"metric": "val_neg_elbo"}, ["'val_neg_elbo'", "Did you mean 'val_neg_elbo_nats'?"]),
        ({"metric": "val_kl_nats"}, ["'val_kl_nats'", "decide"]),
        ({"likelihood": "bernouli"}, ["'bernouli'", "Did you mean 'bernoulli'?"]),
        ({"serch": {}}, ["'serch'", "Did you mean 'search'?"]),
        ({"budget": {"trails": 3}}, ["'trails'", "Did you mean 'trials'?"]),
        ({"search": {"beta": {"lo": 1}}}, ["'lo'", "Did you mean 'low'?"]),
        ({"search": {"beta": {"low": 2, "high": 2}}}, ["low must be below high", "low 2, high 2"]),
        ({"search": {"beta": {"low": 0}}}, ["log range must have low > 0", "low 0"]),
        ({"search": {"beta": {"low": -1}}}, ["log range must have low > 0", "low -1"]),
        ({"search": {"beta": {}, "lr": {"low": 10, "high": 1e6}}}, ["search.lr", "must lie within", "high 1e+06"]),
        ({"search": {"dropout": {"high": 1.0}}}, ["search.dropout", "0 to 0.99", "high 1"]),
        ({"search": {"dropout": {"low": -0.1}}}, ["search.dropout", "low -0.1"]),
        ({"search": {"beta": {}, "latent_dim": {"low": 2.5}}}, ["search.latent_dim", "whole", "2.5"]),
        ({"search": {"beta": [1.0]}}, ["choices must be at least two", "[1.0]", "fixed"]),
        ({"search": {"beta": [1.0, "x"]}}, ["search.beta must be a number", "'x'"]),
        ({"search": {"beta": 3}}, ["search.beta must be a mapping with low and high, or a list", "got 3"]),
        ({"search": {"beta": {"low": "x"}}}, ["search.beta.low must be a number", "'x'"]),
        ({"search": {"lr": {}}}, ["at least one λ", "searches lr", "beta"]),
        ({"search": {}}, ["at least one λ", "nothing"]),
        ({"search": {"beta": {}}, "fixed": {"beta": 1}}, ["either searched or fixed", "'beta'"]),
        ({"fixed": {"latent_dim": 2.5}}, ["fixed.latent_dim", "whole", "2.5"]),
        ({"fixed": {"dropout": 1.5}}, ["fixed.dropout", "1.5"]),
        ({"fixed": {"l2": "much"}}, ["fixed.l2 must be a number", "'much'"]),
        ({"points": [{"bta": 1}]}, ["points[0]", "'bta'"]),
        ({"points": [{"beta": 1}, {"beta": 100}]}, ["points[1].beta", "0.01 to 10", "100"]),
        ({"points": [{"l2": 0.1}]}, ["points[0]", "'l2'", "searched"]),
        ({"points": [{"beta": {"nested": 1}}]}, ["points.0.beta", "nested"]),
        ({"budget": {"trials": 0}}, ["budget.trials must be at least 1", "got 0"]),
        ({"budget": {"trials": 3}}, ["budget.trials must be at least 4", "off arm", "got 3"]),
        ({"fixed": {"weight_norm": 2}}, ["fixed.weight_norm must lie within 0 to 1", "2"]),
        ({"budget": {"trials": "many"}}, ["budget.trials must be a whole number", "'many'"]),
        ({"budget": {"epochs": 0}}, ["budget.epochs", "got 0"]),
        ({"budget": {"wall_minutes": float("nan")}}, ["budget.wall_minutes", "nan"]),
        ({"confirm": {"configs": 1}}, ["confirm.configs", "got 1"]),
        ({"confirm": {"seeds": 1}}, ["confirm.seeds", "got 1"]),
        ({"score": "best"}, ["score must be 'last' or 'best_epoch'", "'best'"]),
        ({"resources": {"gpu": 1.5}}, ["fraction", "1.5"]),
        ({"resources": {"cpu": 10_000}}, ["resources.cpu", "10000"]),
        ({"simplify": ["l2"]}, ["simplify", "'l2'"]),
        ({"seed": -1}, ["seed", "got -1"]),
        ({"search": ["beta"]}, ["search must be a mapping", "['beta']"]),
        ({"dataset": {"name": "mnist"}}, ["mnist", "root"]),
        ({"measure": ["kdi"]}, ["measure", "'kdi'", "Did you mean 'kid'"]),
        ({"features": "clasifier"}, ["features", "Did you mean 'classifier'"]),
        ({"features": {"name": "classifier", "colour": 1}}, ["no options", "'colour'"]),
        ({"latents": "gausian"}, ["latents", "Did you mean 'gaussian'"]),
        ({"batch_size": 5000}, ["batch_size must be at most", "1077", "5000"]),
        ({"batch_size": 60, "dataset": {"name": "digits", "train_size": 50}}, ["batch_size must be at most", "50", "60"]),
        ({"model": "nowhere:net"}, ["model 'nowhere:net'", "importable"]),
        ({"model": "math:net"}, ["must name a module of your own", "'math' is part of Python"]),
        ({"resources": {"gpu": 1.5}}, ["a fraction up to 1 or a whole number", "1.5"]),
        ({"resources": {"custom": {"GPU": 1}}}, ["resources.custom", "'GPU'", "resources.gpu"]),
        ({"resources": {"labels": {"zone": "in()"}}}, ["resources.labels", "'in()'", "!in(a,b)"]),
        ({"resources": {"labels": {"ray.io/node-id": "a"}}}, ["resources.labels", "node-id"]),
        ({"resources": {"placement": "tight"}}, ["resources.placement", "'pack'", "tight"]),
        ({"resources": {"wait_minutes": -1}}, ["resources.wait_minutes", "-1"]),
        ({"workers": 0}, ["workers", "auto", "0"]),
        ({"workers": "many"}, ["workers", "auto", "many"]),
    ],
    ids=str,
)
def test_a_fault_names_the_rule_the_value_and_the_remedy(
    mapping: dict[str, Any], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec_resources, "has_gpu", lambda: True)
    message = the_fault(mapping)
    for word in words:
        assert word in message


def test_a_gpu_must_be_there_unless_the_cluster_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = {"objective": "vae", "resources": {"gpu": 1}}
    monkeypatch.setattr(spec_resources, "has_gpu", lambda: False)
    assert "without a GPU; got 1" in faults(mapping)[0]
    assert read(mapping, remote=True).resources.gpu == 1
    monkeypatch.setattr(spec_resources, "has_gpu", lambda: True)
    assert read(mapping).resources.gpu == 1


def test_a_data_root_without_the_data(tmp_path: Path) -> None:
    message = the_fault({"dataset": {"name": "mnist", "root": str(tmp_path)}})
    assert "mnist" in message and str(tmp_path) in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"objective: [", "valid YAML"),
        (b"- vae", "a list"),
        (b"", "nothing"),
        (b"vae", "a str"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"seed: 1\nseed: 2", "seed is given twice"),
    ],
)
def test_unreadable_yaml(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(content)
    (message,) = faults(path)
    assert words in message and "my.yaml" in message


def test_a_missing_file(tmp_path: Path) -> None:
    (message,) = faults(tmp_path / "none.yaml")
    assert "none.yaml" in message and "quickstart" in message


def test_an_unreadable_file(tmp_path: Path) -> None:
    (message,) = faults(tmp_path)
    assert "readable file" in message


def test_overrides_change_one_key_and_keep_the_rest() -> None:
    spec = read({"objective": "vae"}, ["search.beta.low=0.1", "search.l2={}", "seed=3", "dataset.train_size=100"])
    assert spec.search is not None and tuple(spec.search) == (*load("vae").default_search, "l2")
    assert spec.search["beta"] == Range(low=0.1, high=10, log=True)
    assert (spec.seed, spec.dataset.train_size) == (3, 100)


def test_an_override_of_null_takes_a_knob_out() -> None:
    spec = read({"objective": "vae", "search": {"beta": {}, "lr": {}}, "fixed": {"l2": 0.1}}, ["search.lr=null", "fixed.l2="])
    assert spec.search is not None and tuple(spec.search) == ("beta",)
    assert spec.fixed == {}


def test_a_fixed_knob_leaves_the_default_search() -> None:
    first, *rest = load("gan").default_search
    spec = read({"objective": "gan"}, [f"fixed.{first}=1e-3"])
    assert spec.search is not None and list(spec.search) == rest


@pytest.mark.parametrize("override", ["seed", "=3", "a..b=1", "search.beta.low.x=1", "seed=[", "search.beta.low=9e9"])
def test_bad_overrides(override: str) -> None:
    assert len(faults({"objective": "vae", "search": {"beta": {"low": 0.1}}}, (override,))) == 1


def test_a_fixed_lambda_is_fine() -> None:
    assert read({"objective": "vae", "fixed": {"dropout": 0.2, "l2": 0}}).fixed == {"dropout": 0.2, "l2": 0}


def test_an_export_has_no_free_knob_and_trains() -> None:
    mapping = {
        "objective": "vae",
        "search": {},
        "fixed": {"beta": 2.0},
        "simplify": ["beta"],
        "promise": {"low": 1.0},
        "provenance": {"sweep": "a"},
    }
    spec = read(mapping, purpose="train")
    assert spec.search == {} and spec.promise == {"low": 1.0}
    assert "at least one λ" in faults({**mapping, "simplify": []})[0]


def test_what_is_measured_may_decide_and_reaches_the_settings() -> None:
    spec = read({"objective": "autoencoder", "metric": "val_kid", "measure": ["fid"], "features": "classifier", "latents": "gaussian"})
    made = spec.settings()
    assert (made.metric, made.measure, made.features, made.latents) == ("val_kid", ("fid",), {"name": "classifier"}, "gaussian")
    assert read(parse_yaml(spec.to_yaml())) == spec


def test_the_knobs_published_with_a_model_are_fixed_where_the_spec_leaves_them_open(monkeypatch: pytest.MonkeyPatch) -> None:
    import objectives.models.mlp_small as model

    monkeypatch.setattr(model, "RECIPE", {"gan": {"beta1": 0.0, "lr": 2e-4, "spectral_norm_d": 1.0}}, raising=False)
    spec = read({"objective": "gan", "search": {"l2_g": {}, "lr": {}}, "fixed": {"beta1": 0.5}})
    assert spec.fixed == {"beta1": 0.5, "spectral_norm_d": 1.0}


def test_a_spec_is_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        read({"objective": "vae"}).seed = 3  # type: ignore[misc]


def test_reading_leaves_the_mapping_as_it_was() -> None:
    mapping: dict[str, Any] = {"objective": "vae", "search": {"beta": None}, "budget": {"trials": "x"}}
    faults(mapping, ("search.beta.low=-1",))
    assert mapping == {"objective": "vae", "search": {"beta": None}, "budget": {"trials": "x"}}


def test_matrix_gives_every_combination() -> None:
    specs = expand(
        {"matrix": {"objective": ["vae", "autoencoder"], "dataset": ["digits", {"name": "digits", "train_size": 50}]}, "seed": 4}
    )
    found = [(spec.objective, spec.dataset.train_size, spec.seed) for spec in specs]
    assert found == [("vae", None, 4), ("vae", 50, 4), ("autoencoder", None, 4), ("autoencoder", 50, 4)]


def test_matrix_keeps_what_the_base_says_of_the_data(tmp_path: Path) -> None:
    (spec,) = expand({"objective": "vae", "dataset": {"train_size": 60}, "matrix": {"dataset": ["digits"]}})
    assert (spec.dataset.name, spec.dataset.train_size) == ("digits", 60)


def test_impossible_combinations_are_faults_of_the_matrix() -> None:
    with pytest.raises(SpecError) as caught:
        expand({"search": {"beta": {}}, "matrix": {"objective": ["vae", "autoencoder"], "model": ["mlp400"]}})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["autoencoder × mlp400"] * 2


@pytest.mark.parametrize("matrix", [[], {}, {"sampler": ["tpe"]}, {"model": "mlp400"}, {"model": []}])
def test_bad_matrix(matrix: Any) -> None:
    with pytest.raises(SpecError, match="matrix"):
        expand({"objective": "vae", "matrix": matrix})


@pytest.mark.parametrize("name", presets())
def test_presets_are_good_sweeps(name: str) -> None:
    assert read(presets()[name]).budget.trials >= 4


def test_quickstart_is_what_the_readme_says() -> None:
    spec = read(presets()["quickstart"])
    assert (spec.objective, spec.dataset.name, spec.budget.trials) == ("vae", "digits", 24)
    assert (spec.confirm.configs, spec.confirm.seeds) == (5, 8)
    assert spec.search is not None and set(spec.search) == {"beta", "lr"}


numbers = st.floats(1e-3, 1e3, allow_nan=False)
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Resolved specs of the VAE: any mix of ranges, choices and fixed values."""
    low = draw(st.floats(1e-3, 1.0))
    searched = draw(st.sets(st.sampled_from(["l2", "lr", "latent_dim", "dropout"])))
    search: dict[str, Any] = {"beta": {"low": low, "high": low * draw(st.floats(1.5, 1e3))}}
    search |= {name: {} for name in sorted(searched)}
    if draw(st.booleans()):
        search["beta"] = draw(st.lists(st.floats(1e-2, 10.0), min_size=2, max_size=5, unique=True))
    mapping = {
        "objective": "vae",
        "search": search,
        "fixed": {} if "l2" in searched else {"l2": draw(st.floats(1e-10, 10.0))},
        "sampler": draw(st.sampled_from(["tpe", "random", "qmc", "grid"])),
        "budget": {"trials": draw(st.integers(4, 10_000)), "wall_minutes": draw(st.none() | numbers)},
        "margin": draw(st.floats(0, 1)),
        "seed": draw(st.integers(0, 2**63)),
        # Words such as 1e-4, yes, null or 12:30 are what YAML reads as something else.
        "provenance": draw(
            st.dictionaries(words, words | st.sampled_from(["1e-4", "yes", "null", "12:30", "1.", "-.5e3"]) | st.none(), max_size=3)
        ),
        "promise": draw(st.none() | st.fixed_dictionaries({"low": st.floats(allow_nan=False), "mean": numbers})),
    }
    return read(mapping)


@settings(max_examples=20)
@given(specs())
def test_yaml_there_and_back_and_resolving_twice_change_nothing(spec: Spec) -> None:
    assert read(parse_yaml(spec.to_yaml())) == spec
    assert resolve(spec) == spec


@settings(max_examples=20)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | words, lambda x: st.lists(x) | st.dictionaries(words, x), max_leaves=8
    )
)
def test_whatever_a_key_holds_the_answer_is_a_spec_or_faults(value: Any) -> None:
    for key in Spec.model_fields:
        if key not in ("dataset", "objective"):
            try:
                read({"objective": "toy", key: value})
            except SpecError as error:
                assert error.faults


def test_settings_are_plain_data() -> None:
    plain = read({"objective": "vae", "score": "best_epoch"}).settings(cache="c")
    assert (plain.dataset["name"], plain.model, plain.score, plain.device, plain.cache) == ("digits", "mlp400", "best_epoch", "cpu", "c")
    assert plain.epochs == load("vae").default_epochs


@pytest.mark.parametrize(
    ("resources", "device"),
    [
        ({}, "cpu"),
        ({"gpu": 1}, "accelerator"),
        ({"gpu": 0.5, "device": "xpu"}, "xpu"),
        ({"device": "mps"}, "mps"),
        ({"device": "cuda"}, "cuda"),
    ],
)
def test_auto_is_the_accelerator_where_gpus_are_asked_for_and_any_can_be_named(resources: dict[str, Any], device: str) -> None:
    assert read({"objective": "vae", "resources": resources}, remote=True).settings().device == device


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("sgnal=2", "option of dataset 'none' must be one of"),
        ("signal=loud", "dataset.signal must be a number of at least 0; got 'loud'"),
        ("signal=0", "dataset.signal must be above 0"),
        ("noise=-0.1", "dataset.noise must be a number of at least 0; got -0.1"),
        ("fault_at=1.5", "dataset.fault_at must be a whole number"),
        ("fault=hnag", "Did you mean 'hang'?"),
        ("fault_above=much", "dataset.fault_above must be a number"),
        ("fault_members=3", "dataset.fault_members must be a list"),
    ],
)
def test_an_objective_is_asked_about_the_options_of_its_own_data(option: str, words: str) -> None:
    [fault] = faults({"objective": "toy"}, (f"dataset.{option}",))
    assert words in fault
    assert len(faults({"objective": "toy"}, (f"dataset.{option}", "dataset.sprad=1", "budget.trials=1"))) == 3, "all at once"
    assert faults({"objective": "dirac"}, ("dataset.spread=wide",)) == [
        "dataset.spread must be a number of at least 0; got 'wide'. The default is 0.1."
    ]


def test_a_gpu_for_members_on_the_cpu_is_a_fault() -> None:
    assert any("resources.device is cpu" in fault for fault in faults({"objective": "vae", "resources": {"gpu": 1, "device": "cpu"}}))


@pytest.mark.skipif(os.name != "posix", reason="devices are files on POSIX only")
def test_asking_for_a_gpu_imports_no_torch() -> None:
    assert spec_resources.has_gpu() in (True, False)
    assert math.isfinite(read({"objective": "toy"}).margin)


@pytest.mark.parametrize("given", [0.02, 0, "0.05 val_nll_nats", "1e-3  val_nll_nats"])
def test_a_margin_is_a_share_or_an_amount_in_units_of_the_score(given: float | str) -> None:
    spec = read({"objective": "vae", "margin": given})
    assert spec.margin_unit == ("val_nll_nats" if isinstance(given, str) else "")
    assert read(parse_yaml(spec.to_yaml())) == spec


@pytest.mark.parametrize("given", [-0.1, "much", True, "-1 val_nll_nats", "0.05 nats", ".inf", None])
def test_a_margin_that_says_nothing_is_refused(given: object) -> None:
    with pytest.raises(SpecError) as refused:
        read({"objective": "vae", "margin": given})
    assert "margin must be" in str(refused.value)


@pytest.mark.parametrize("given", [{"objective": ""}, {"objective": "", "command": ""}, {"matrix": {"objective": [""]}}, {}])
def test_a_spec_that_is_refused_says_why(given: dict[str, Any]) -> None:
    """An empty name was refused without a word, and left out of a matrix."""
    with pytest.raises(SpecError) as caught:
        expand(given)
    assert [fault for fault in caught.value.faults if "objective must be" in fault]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dataset": {"name": "image_folder", "root": "/data/\udcff"}}, "dataset.root must be text in UTF-8"),
        ({"fixed": {"lr": "\ud800"}}, "fixed.lr must be text in UTF-8"),
        ({"points": [{"l2": "a\0b"}]}, "points.0.l2 must be text in UTF-8"),
        ({"objective": f"{'d' * 230}/mine.py"}, "objective String should have at most 200 characters"),
        ({"dataset": "d" * 201}, "dataset.name String should have at most 200 characters"),
    ],
)
def test_what_no_store_would_keep_is_a_fault(given: dict[str, Any], words: str) -> None:
    """It would come back changed, and a sweep that is resumed would look for another file."""
    with pytest.raises(SpecError, match=words):
        read({"objective": "toy", **given})


def test_a_knob_after_which_an_arm_is_named_has_a_name_of_a_length() -> None:
    """Behind `without:` in a column of 100 characters, which PostgreSQL minds and SQLite does not."""
    name = "k" * 81
    command = {
        "command": f"true {{{name}}} {{seed}}",
        "score": "loss",
        "knobs": {name: {"low": 0, "high": 1, "off": 0}},
        "search": {name: {}},
    }
    with pytest.raises(SpecError, match="name of a knob must have at most 80 characters; k"):
        read(command)
