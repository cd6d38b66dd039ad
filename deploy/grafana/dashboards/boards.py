"""Builds Grafana dashboards from pages of panels."""

from __future__ import annotations

import json
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType, DataSourceRef

from dashboards.clients import PROMISES, UPLOADS
from dashboards.insides import EVENTS, JANITOR, LOGINS, STORES
from dashboards.panels import Page, Panel

PAGES: Final = (PROMISES, UPLOADS, EVENTS, STORES, JANITOR, LOGINS)
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT, _WIDTH, _NUMBER_WIDTH = 8, 8, 8
"""In units of Grafana's grid, which is 24 wide."""


def as_json(page: Page) -> str:
    """Returns a dashboard as Grafana imports it, in a stable order."""
    plain: Any = json.loads(json.dumps(_dashboard(page).build(), cls=JSONEncoder))
    return json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _dashboard(page: Page) -> dashboard.Dashboard:
    board = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.about)
        .tags(["kappi"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(_links())
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for row in page.rows:
        board = board.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            board = board.with_panel(_number(panel) if panel.is_number else _lines(panel))
    return board


def _links() -> dashboard.DashboardLink:
    links = dashboard.DashboardLink("Kappi").type(DashboardLinkType.DASHBOARDS).tags(["kappi"])
    return links.as_dropdown(True).keep_time(True).include_vars(True)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.about)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .height(_HEIGHT)
        .span(_WIDTH)
        .min(0)
        .fill_opacity(8)
        .show_points(VisibilityMode.NEVER)
        .legend(legend.show_legend(True))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for query, series in panel.queries:
        built = built.with_target(_query(query, series))
    return built


def _number(panel: Panel) -> stat.Panel:
    built = (
        stat.Panel()
        .title(panel.title)
        .description(panel.about)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .height(_HEIGHT // 2)
        .span(_NUMBER_WIDTH)
    )
    for query, series in panel.queries:
        built = built.with_target(_query(query, series))
    return built


def _query(query: str, series: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query).legend_format(series).datasource(_SOURCE)
