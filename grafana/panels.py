"""The shapes of Grafana's panels as plain dicts: what is the same in all of them is said here."""

from typing import Any

Json = dict[str, Any]

PLUGIN_VERSION = "13.2.2"
INTERVAL = "5m"
"""The shortest step of graphs of what happens now and then: in a shorter one a single task looks like many an hour."""
DATASOURCE = {"type": "prometheus", "uid": "$datasource"}
GREEN, YELLOW, ORANGE, RED, BLUE, GREY, PURPLE = "green", "yellow", "orange", "red", "blue", "#808080", "purple"


def target(expr: str, legend: str = "", *, kind: str = "range", ref: str = "A") -> Json:
    """Return a query: `range` for graphs, `instant` for values as of now, `table`, `heatmap`."""
    is_instant = kind in {"instant", "table"}
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expr,
        "format": kind if kind in {"table", "heatmap"} else "time_series",
        "instant": is_instant,
        "legendFormat": legend or "__auto",
        "range": not is_instant,
        "refId": ref,
    }


def targets(*queries: tuple[str, str], kind: str = "range") -> list[Json]:
    """Return queries with their legends, lettered."""
    return [
        target(expr, legend, kind=kind, ref=letter) for letter, (expr, legend) in zip("ABCDEF", queries, strict=False)
    ]


def panel(kind: str, title: str, description: str, at: tuple[int, int, int, int], queries: list[Json]) -> Json:
    """Return what all panels have; `at` is x, y, width and height."""
    x, y, width, height = at
    return {
        "datasource": DATASOURCE,
        "description": description,
        "fieldConfig": {"defaults": {}, "overrides": []},
        "gridPos": {"h": height, "w": width, "x": x, "y": y},
        "options": {},
        "pluginVersion": PLUGIN_VERSION,
        "targets": queries,
        "title": title,
        "type": kind,
    }


def steps(*limits: tuple[float | None, str]) -> Json:
    """Return thresholds: from each value on, its colour; the first value is None."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in limits]}


def words(**of_values: tuple[str, str]) -> list[Json]:
    """Return a mapping from values, `_0` for 0, to a text and a colour."""
    options = {
        value.removeprefix("_"): {"color": color, "index": index, "text": text}
        for index, (value, (text, color)) in enumerate(of_values.items())
    }
    return [{"options": options, "type": "value"}]


def stat(title: str, description: str, at: tuple[int, int, int, int], expr: str, unit: str, **defaults: Any) -> Json:
    """Return one number as of now; where there is none it says so, and never shows an old one."""
    one = panel("stat", title, description, at, [target(expr, title, kind="instant")])
    one["fieldConfig"]["defaults"] = {"color": {"mode": "thresholds"}, "unit": unit, **defaults}
    one["fieldConfig"]["defaults"].setdefault("thresholds", steps((None, BLUE)))
    one["options"] = {
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
    }
    return one


def bars(
    title: str, description: str, at: tuple[int, int, int, int], query: tuple[str, str], unit: str, **defaults: Any
) -> Json:
    """Return horizontal bars of series as of now."""
    one = panel("bargauge", title, description, at, targets(query, kind="instant"))
    shown = {"color": {"mode": "thresholds"}, "min": 0, "noValue": "none", "unit": unit}
    one["fieldConfig"]["defaults"] = {**shown, "thresholds": steps((None, BLUE)), **defaults}
    one["options"] = {
        "displayMode": "basic",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "maxVizHeight": 28,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "left",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "sizing": "manual",
        "valueMode": "text",
    }
    return one


def graph(
    title: str,
    description: str,
    at: tuple[int, int, int, int],
    queries: list[Json],
    unit: str,
    *,
    label: str = "",
    stacked: bool = False,
    interval: str = INTERVAL,
    **defaults: Any,
) -> Json:
    """Return series over time: lines, or stacked bars of what happened in each interval."""
    one = panel("timeseries", title, description, at, queries) | {"interval": interval}
    custom = {
        "axisLabel": label,
        "axisSoftMin": 0,
        "drawStyle": "bars" if stacked else "line",
        "fillOpacity": 70 if stacked else 8,
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "showPoints": "never" if stacked else "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
    }
    one["fieldConfig"]["defaults"] = {
        "color": {"mode": "palette-classic-by-name"},
        "custom": custom,
        "min": 0,
        "unit": unit,
        **defaults,
    }
    one["options"] = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"hideZeros": True, "mode": "multi", "sort": "desc"},
    }
    return one


def timeline(
    title: str, description: str, at: tuple[int, int, int, int], query: tuple[str, str], mappings: list[Json]
) -> Json:
    """Return states over time."""
    one = panel("state-timeline", title, description, at, targets(query))
    one["fieldConfig"]["defaults"] = {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 85, "lineWidth": 0},
        "mappings": mappings,
        "thresholds": steps((None, GREY)),
        "unit": "none",
    }
    one["options"] = {
        "alignValue": "left",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "mergeValues": True,
        "rowHeight": 0.9,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return one


def heatmap(title: str, description: str, at: tuple[int, int, int, int], expr: str, unit: str) -> Json:
    """Return a histogram over time."""
    one = panel("heatmap", title, description, at, [target(expr, "{{le}}", kind="heatmap")])
    one["interval"] = INTERVAL
    one["fieldConfig"]["defaults"] = {"custom": {"scaleDistribution": {"type": "linear"}}, "unit": unit}
    one["options"] = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"decimals": 0, "unit": "short"},
        "color": {
            "exponent": 0.5,
            "fill": "dark-orange",
            "mode": "scheme",
            "reverse": False,
            "scale": "exponential",
            "scheme": "Oranges",
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": True, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    return one


class Column:
    """A column of a table: what it is called, its unit, and what else its cells have."""

    def __init__(self, name: str, unit: str = "short", **properties: Any) -> None:
        self.name, self.properties = name, {"unit": unit, **properties}


def table(
    title: str,
    description: str,
    at: tuple[int, int, int, int],
    queries: list[tuple[str, Column]],
    *,
    labels: dict[str, Column],
    hidden: tuple[str, ...] = (),
    sort: str,
) -> Json:
    """Return a table with a row for each value of the labels, and a column for each query."""
    one = panel("table", title, description, at, targets(*[(expr, "") for expr, _ in queries], kind="table"))
    columns = labels | dict(zip(_values(len(queries)), (column for _, column in queries), strict=True))
    one["fieldConfig"] = {
        "defaults": {
            "custom": {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False},
            "thresholds": steps((None, BLUE)),
            "unit": "short",
        },
        "overrides": [_override(column) for key, column in columns.items() if key not in hidden],
    }
    one["options"] = {
        "cellHeight": "sm",
        "frameIndex": 0,
        "showHeader": True,
        "sortBy": [{"desc": True, "displayName": sort}],
    }
    one["transformations"] = _merged(columns, hidden)
    return one


def _values(number: int) -> list[str]:
    """Return what Grafana calls the values of several queries."""
    return [f"Value #{letter}" for letter in "ABCDEF"[:number]] if number > 1 else ["Value"]


def _merged(columns: dict[str, Column], hidden: tuple[str, ...]) -> list[Json]:
    shown = [key for key in columns if key not in hidden]
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": dict.fromkeys(("Time", *hidden), True),
                "indexByName": {key: place for place, key in enumerate(shown)},
                "renameByName": {key: columns[key].name for key in shown},
            },
        },
    ]


def _override(column: Column) -> Json:
    properties = [{"id": key.replace("__", "."), "value": value} for key, value in column.properties.items()]
    return {"matcher": {"id": "byName", "options": column.name}, "properties": properties}


def in_colors(one: Json, colors: dict[str, str]) -> Json:
    """Return a panel whose series of these names have fixed colours."""
    one["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"fixedColor": color, "mode": "fixed"}}],
        }
        for name, color in colors.items()
    ]
    return one
