# ruff: noqa: E402
"""The cells of docs/example.ipynb; docs/notebook.py makes it. Names of this file are those of a notebook, not of a program."""

# %% [markdown]
# # A sweep in a notebook
#
# Which β should a VAE on the digits images have, and is it worth changing β from 1? A small sweep answers in a minute on two cores. This
# notebook then looks at its members, figures and answer. It is made by `make notebook` from `docs/example_cells.py`.
# %%
import search
from infra.storage import Home

home = Home.open("runs")  # left out: ./mlflow_runs
spec = {"objective": "vae", "search": {"beta": {"low": 0.05}}, "budget": {"trials": 10, "epochs": 15}, "confirm": {"seeds": 4}}
outcome = search.run(spec, name="beta", home=home, address="in-process")
print(outcome.answer.sentence())
# %% [markdown]
# ## The answer
#
# `search.answer(NAME)` is the answer of a sweep that is over. Every number of it is an attribute.
# %%
answer = search.answer("beta", home=home)
print("verdict ", answer.verdict_word)
print("exported", answer.exported_words())
print("effect  ", answer.effect.words(), "over λ off")
print("promise ", answer.promise.words(), "for one new seed")
# %% [markdown]
# ## Members and reports are pandas frames
#
# One row for each member, one column for each knob and metric. `search.reports(NAME)` has a row for each member and epoch.
# %%
members = search.members("beta", home=home)
members[["phase", "arm", "state", "beta", "score", "epochs"]].sort_values("score").head(8).round(3)
# %%
members.groupby(["phase", "state"]).agg(members=("seed", "size"), epochs=("epochs", "sum"), best=("score", "min")).round(3)
# %% [markdown]
# ## Figures
#
# `dir(search.plot)` lists them. Each takes the name of a sweep and returns a plotly figure.
# %%
dir(search.plot)
# %%
search.plot.curve("beta", home=home)
# %%
search.plot.effect("beta", home=home)
# %%
search.plot.learning("beta", home=home)
# %% [markdown]
# A figure that cannot be drawn of a sweep says why.
# %%
from search.errors import SpecError

try:
    search.plot.surface("beta", home=home)
except SpecError as reason:
    print(reason)
# %% [markdown]
# ## Queries
#
# `search.query` speaks MLflow's own language: what it finds, the search box of the UI finds.
# %%
found = search.query("metrics.score < 25 and tags.phase = 'confirm'", home=home)
found[["sweep", "member", "tags.arm", "tags.state", "metrics.score"]].head(5).round(3)
# %% [markdown]
# ## What to take away
#
# The config, as a file that `lagrange train` takes, and everything in one HTML file.
# %%
search.export("beta", "best.yaml", home=home)
page, *_ = search.report("beta", "beta.html", home=home)
print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
