"""An Optuna sampler for one known point. With it a sequence is taken by index, whatever the study holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.samplers import BaseSampler

from objectives.base import Value


class Given(BaseSampler):  # type: ignore[misc]  # optuna is untyped to mypy here
    """Returns `params`.

    Optuna's own grid and quasi-random samplers keep their place in the study's attributes, or draw it at random among the open grid
    points. After a resume, or with two arms in one sweep, that place is not the place of the member.
    """

    def __init__(self, params: Mapping[str, Value], distributions: Mapping[str, Any]) -> None:
        self._params, self._distributions = dict(params), dict(distributions)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """The distributions of the known point."""
        del study, trial
        return self._distributions

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        """The known point."""
        del study, trial
        return {name: self._params[name] for name in search_space}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Never called in a sweep: the point has a value for every knob of the space."""
        del study, trial
        raise KeyError(f"the point has {', '.join(self._params) or 'no knobs'}; asked for {param_name!r} in {param_distribution}")
