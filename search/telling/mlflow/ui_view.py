"""The prepared view of a sweep in MLflow: which columns and charts there are without a click.

It is the state of the runs page as MLflow's "Save view" keeps it (3.17; `ExperimentPageUIState` and the chart cards of its front end).
An older MLflow reads what it knows of it. Charts have no log axis for a metric, so they draw log10 of a λ.
"""

from __future__ import annotations

from typing import Any

from infra.catalogue import SweepRow
from infra.tracking.ui import view_tag
from objectives.base import Knob
from search.spec.keys import Spec
from search.telling.mlflow.portrait import CURVE, Portrait

_SECTION = "lagrange"
_SHOWN = 100  # runs in a chart: MLflow's own limit
_NAME, _CREATED = "attributes.`Run Name`", "runDateAndNestInfo"
_WIDTHS = {"arm": 95, "phase": 85, "state": 95, "seed": 110}
CONFIRMED = "confirmed"
PICTURES = "pictures"  # the name of the images that members show


def tags(sweep: str, row: SweepRow, spec: Spec, portrait: Portrait) -> dict[str, str]:
    """The views of a sweep as tags of its experiment: all members; and those that were confirmed, with their learning curves."""
    created_ms = int(row.created.timestamp() * 1000)
    mine = f"tags.`lagrange.sweep` = '{sweep}' and tags.`lagrange.member` != ''"
    scatters, curves, images = _scatters(spec, portrait), _curves(portrait), _images(spec)
    whole = _state(mine, spec, portrait, [*scatters, *curves, *_parallel(portrait), *images])
    confirmed = _state(f"{mine} and tags.phase = 'confirm'", spec, portrait, [*curves, *scatters, *images])
    return view_tag(sweep, sweep, whole, created_ms) | view_tag(sweep, f"{sweep}, confirmed", confirmed, created_ms, CONFIRMED)


def _state(wanted: str, spec: Spec, portrait: Portrait, charts: list[dict[str, Any]]) -> dict[str, Any]:
    knobs = [f"metrics.`{portrait.metric(knob)}`" if not knob.choices else f"params.`{knob.name}`" for knob in portrait.knobs[:4]]
    columns = ["metrics.`score`", *knobs, *(f"tags.`{tag}`" for tag in _WIDTHS)]
    widths = {_NAME: 235, _CREATED: 145} | dict.fromkeys(columns, 85) | {f"tags.`{tag}`": width for tag, width in _WIDTHS.items()}
    cards = [{"uuid": f"lagrange-{place}", "metricSectionId": _SECTION, **_CARD, **chart} for place, chart in enumerate(charts)]
    section = {"uuid": _SECTION, "name": f"{portrait.sweep}: which λ", "display": True, "isReordered": True, "deleted": False}
    return {
        "searchFilter": wanted,
        "orderByKey": "metrics.`score`",
        "orderByAsc": spec.asked[0].better == "lower",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": [_NAME, _CREATED, *columns, "attributes.`Duration`"],
        "columnWidths": widths,
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": cards,
        "compareRunSections": [{**section, "isGenerated": False}],
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": False,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


_CARD: dict[str, Any] = {"deleted": False, "isGenerated": False, "runsCountToCompare": _SHOWN}


def _axis(portrait: Portrait, knob: Knob) -> str:
    return f"log10_{knob.name}" if knob.log else portrait.metric(knob)


def _scatters(spec: Spec, portrait: Portrait) -> list[dict[str, Any]]:
    """Each λ against the score; where there are two, the score over both."""
    score = {"key": "score", "type": "METRIC"}
    axes = [(knob, {"key": _axis(portrait, knob), "type": "METRIC"}) for knob in _lambdas(portrait)]
    found: list[dict[str, Any]] = [
        {"type": "SCATTER", "displayName": f"{_axis(portrait, knob)} against {spec.score_name}", "xaxis": axis, "yaxis": score}
        for knob, axis in axes[:3]
    ]
    if len(axes) == 2:
        names = " and ".join(_axis(portrait, knob) for knob, _ in axes)
        found.append({"type": "CONTOUR", "displayName": names, "xaxis": axes[0][1], "yaxis": axes[1][1], "zaxis": score})
    return found


def _lambdas(portrait: Portrait) -> list[Knob]:
    """The λ; where there is none, the other knobs that have an axis."""
    numbers = [knob for knob in portrait.knobs if not knob.choices]
    return [knob for knob in numbers if knob.is_lambda] or numbers[:2]


def _curves(portrait: Portrait) -> list[dict[str, Any]]:
    """The cheap score that is reported after each epoch, and that schedulers compare."""
    line = {"metricKey": CURVE, "selectedMetricKeys": [CURVE], "xAxisKey": "step", "yAxisKey": "metric", "yAxisExpressions": []}
    look = {"lineSmoothness": 0, "scaleType": "linear", "xAxisScaleType": "linear", "range": {}, "selectedXAxisMetricKey": ""}
    whole = {"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True, "ignoreOutliers": False}
    return [{"type": "LINE", "displayName": f"learning curves ({portrait.better} is better)", **line, **look, **whole}]


def _parallel(portrait: Portrait) -> list[dict[str, Any]]:
    names = [_axis(portrait, knob) for knob in portrait.knobs if not knob.choices]
    choices = [knob.name for knob in portrait.knobs if knob.choices]
    chosen = {"selectedParams": choices, "selectedMetrics": [*names, "score"], "showAllRuns": True}
    return [{"type": "PARALLEL", "displayName": "all knobs and the score", **chosen}]


def _images(spec: Spec) -> list[dict[str, Any]]:
    """Pictures with a slider. It stands at the last epoch: there every member that is drawn has a picture, before it not all have."""
    return [{"type": "IMAGE", "displayName": "pictures by epoch", "imageKeys": [PICTURES], "step": spec.budget.epochs or 0}]
