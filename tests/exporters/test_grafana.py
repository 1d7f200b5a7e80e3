"""The dashboards are what the generator makes, keep the rules of grafana/dashboard-linter, and fit Grafana's schemas."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from grafana import generate, queries
from otel_tracker.telemetry import metrics
from tests.faults.components import miss
from tests.places import ROOT

Json = dict[str, Any]

FOLDER = ROOT / "grafana"
RULE_TESTS = [f"tests/{path.name}" for path in sorted((FOLDER / "tests").iterdir())]
DASHBOARDS = generate.dashboards()
FLEET, AGENT = DASHBOARDS["fleet.json"], DASHBOARDS["agent.json"]
RUNBOOK = "https://otel-tracker.example/docs/runbook.md"
"""A placeholder in the committed rules: the address at which a team publishes docs/runbook.md."""
SCHEMA_PACKAGES = ("@grafana/schema@13.2.3", "typescript@5.9.3")

SUFFIXES = {metrics.COUNTER: ("_total",), metrics.INFO: ("_info",), metrics.HISTOGRAM: ("_bucket", "_sum", "_count")}
KNOWN = {metric.base + suffix for metric in metrics.OF_DOCUMENT for suffix in SUFFIXES.get(metric.type, ("",))}
COUNTERS = {name for name in KNOWN if name.endswith(("_total", "_bucket", "_sum", "_count"))}
NAME = r"(?:[a-z]+:)?otel_tracker_[a-z_]+(?::[a-z0-9_]+)?"
UNITS = {"short", "none", "string", "percentunit", "s", "currencyUSD", "dateTimeFromNow"}

every_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]]
every_panel = pytest.mark.parametrize(
    ("dashboard", "panel"), PANELS, ids=[f"{dashboard['title'][-5:]}-{panel['title']}" for dashboard, panel in PANELS]
)
TARGETS = [(panel["type"], target["expr"]) for _, panel in PANELS for target in panel["targets"]]
every_query = pytest.mark.parametrize("expr", sorted({expr for _, expr in TARGETS}))


def rules(file: str) -> Iterator[Json]:
    for group in yaml.safe_load((FOLDER / "rules" / file).read_text())["groups"]:
        yield from group["rules"]


ALERTS = list(rules("alerts.yml"))
every_alert = pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])


def variables(dashboard: Json) -> dict[str, Json]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def names_in(text: str) -> set[str]:
    return set(re.findall(NAME, text))


# What is committed.


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_committed_dashboard_is_what_the_generator_makes(name: str) -> None:
    committed = (FOLDER / "dashboards" / name).read_text()
    assert committed == generate.text_of(DASHBOARDS[name]), "run: make dashboards"


def test_there_is_no_dashboard_that_the_script_does_not_make() -> None:
    assert {path.name for path in (FOLDER / "dashboards").iterdir()} == set(DASHBOARDS)


def test_the_generator_writes_the_same_files_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    monkeypatch.delenv(generate.RUNBOOK_URL, raising=False)
    generate.main()
    for name in DASHBOARDS:
        assert (tmp_path / "dashboards" / name).read_text() == (FOLDER / "dashboards" / name).read_text()


def test_the_generator_puts_the_address_of_a_runbook_into_the_rules_and_their_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in generate.WITH_RUNBOOK_LINKS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(FOLDER / name, tmp_path / name)
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    url = "https://wiki.example.org/runbooks?page=otel-tracker&v=2"
    monkeypatch.setenv(generate.RUNBOOK_URL, url)
    generate.main()
    for name in generate.WITH_RUNBOOK_LINKS:
        before, after = (FOLDER / name).read_text(), (tmp_path / name).read_text()
        links = re.findall(r"runbook_url: (.*)#oteltracker", after)
        assert set(links) == {url}
        assert len(links) == before.count("runbook_url: ")
        assert after == before.replace(RUNBOOK, url)
        assert yaml.safe_load(after)


@pytest.mark.parametrize(
    "url", ["docs/runbook.md", "//wiki/runbook", "ftp://wiki/runbook", "https://wiki/a#b", "https://w/a b"]
)
def test_the_generator_refuses_an_address_to_which_no_section_can_be_added(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    monkeypatch.setenv(generate.RUNBOOK_URL, url)
    with pytest.raises(SystemExit, match=generate.RUNBOOK_URL):
        generate.main()
    assert not list(tmp_path.iterdir())


def test_uids_stay_what_links_and_bookmarks_know() -> None:
    assert [dashboard["uid"] for dashboard in DASHBOARDS.values()] == ["otel-tracker-fleet", "otel-tracker-agent"]


# The rules of grafana/dashboard-linter, by their names.


@every_dashboard
def test_template_datasource_rule_the_data_source_is_a_variable(dashboard: Json) -> None:
    sources = [variable for variable in variables(dashboard).values() if variable["type"] == "datasource"]
    assert [(one["name"], one["label"], one["query"]) for one in sources] == [
        ("datasource", "Data source", "prometheus")
    ]


@every_dashboard
@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_and_instance_rules_both_are_variables_of_several_values(dashboard: Json, name: str) -> None:
    variable = variables(dashboard)[name]
    assert variable["type"] == "query"
    assert variable["datasource"]["uid"] == "$datasource"
    assert variable["label"] == name.title()
    assert variable["multi"] is True
    assert (variable["includeAll"], variable["allValue"]) == (True, ".+")


@every_dashboard
def test_template_label_promql_rule_variables_ask_for_labels_of_known_metrics(dashboard: Json) -> None:
    for variable in variables(dashboard).values():
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((\w+)(\{.*\})?, (\w+)\)", variable["query"]["query"])
            assert asked, variable["query"]
            assert asked[1] in KNOWN
            assert asked[3] == variable["name"]


@every_dashboard
def test_template_on_time_change_reload_rule_variables_follow_the_time_range(dashboard: Json) -> None:
    asked = [variable for variable in variables(dashboard).values() if variable["type"] == "query"]
    assert {variable["refresh"] for variable in asked} == {2}


@every_panel
def test_panel_datasource_rule_panels_and_their_queries_ask_the_chosen_data_source(
    dashboard: Json, panel: Json
) -> None:
    for one in (panel, *panel["targets"]):
        assert one["datasource"] == {"type": "prometheus", "uid": "$datasource"}


@every_panel
def test_panel_title_description_rule_panels_say_what_they_answer(dashboard: Json, panel: Json) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert len([one for one in dashboard["panels"] if one["title"] == panel["title"]]) == 1


@every_panel
def test_panel_units_rule_numbers_have_units(dashboard: Json, panel: Json) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    for override in panel["fieldConfig"]["overrides"]:
        units = [one["value"] for one in override["properties"] if one["id"] == "unit"]
        assert set(units) <= UNITS
        assert units or panel["type"] != "table"


@every_panel
def test_panel_no_targets_rule_panels_have_queries_with_names_of_their_own(dashboard: Json, panel: Json) -> None:
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == sorted(set(letters))
    assert letters


@every_query
def test_target_job_and_instance_rules_every_selector_has_both(expr: str) -> None:
    selectors = re.findall(rf"({NAME})(\{{[^}}]*\}})?", expr)
    assert selectors
    for name, matchers in selectors:
        assert 'job=~"$job"' in matchers, name
        assert 'instance=~"$instance"' in matchers, name


@every_query
def test_target_required_matchers_agent_and_model_hold_wherever_the_metric_has_them(expr: str) -> None:
    of = {metric.name: metric for metric in metrics.OF_DOCUMENT}
    for name, matchers in re.findall(rf"({NAME})(\{{[^}}]*\}})", expr):
        metric = of.get(name.removesuffix("_bucket"))
        for label in (label for label in ("agent", "model") if metric is None or label in metric.labels):
            assert f'{label}=~"${label}"' in matchers or (metric is None and label == "model"), name


@every_query
def test_target_rate_interval_rule_rates_are_over_the_rate_interval(expr: str) -> None:
    for function, window in re.findall(r"(\w+)\([^()]*\[([^\]]+)\]\)", expr):
        assert function in {"rate", "increase"}
        assert window == "$__rate_interval" if function == "rate" else window in {"$__rate_interval", "$__range", "1h"}


@every_query
def test_target_counter_agg_rule_counters_and_buckets_are_never_read_bare(expr: str) -> None:
    for before, name, after in re.findall(rf"(\w*\()?({NAME})\{{[^}}]*\}}(\[)?", expr):
        if name in COUNTERS:
            assert (before, after) in {("rate(", "["), ("increase(", "[")}, name
        else:
            assert not after, name


@every_query
def test_target_histogram_rule_buckets_are_summed_by_le(expr: str) -> None:
    if "_bucket" in expr:
        assert re.search(r"sum by \(le(, agent)?\) \(increase\(", expr)


@every_dashboard
def test_uneditable_rule_a_provisioned_dashboard_is_not_edited_in_place(dashboard: Json) -> None:
    assert dashboard["editable"] is False


@every_dashboard
def test_panels_have_ids_of_their_own_and_no_two_cover_the_same_place(dashboard: Json) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) <= 14
    covered = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(covered)) == len(covered)
    assert len(covered) == 24 * (1 + max(y for _, y in covered)), "there is a hole"


@every_panel
def test_one_number_says_so_where_there_is_none(dashboard: Json, panel: Json) -> None:
    if panel["type"] == "stat":
        assert panel["fieldConfig"]["defaults"]["noValue"]
        assert all(target["instant"] for target in panel["targets"]), "an old value would pass for one of now"


# Names, links.


@every_query
def test_a_dashboard_names_only_metrics_that_the_collector_yields_or_a_rule_records(expr: str) -> None:
    assert names_in(expr) <= KNOWN | set(queries.RECORDED)


def test_what_dashboards_read_of_the_rules_is_recorded() -> None:
    assert [rule["record"] for rule in rules("recording.yml")] == list(queries.RECORDED)


@pytest.mark.parametrize("file", ["rules/recording.yml", "rules/alerts.yml", *RULE_TESTS])
def test_rules_name_only_metrics_that_the_collector_yields_or_a_rule_records(file: str) -> None:
    text = (FOLDER / file).read_text()
    assert names_in(text) <= KNOWN | set(queries.RECORDED)


@pytest.mark.parametrize("metric", metrics.OF_DOCUMENT, ids=lambda metric: metric.base)
def test_every_metric_is_used_by_a_dashboard_or_an_alert(metric: metrics.Metric) -> None:
    texts = [json.dumps(dashboard) for dashboard in DASHBOARDS.values()]
    used = set().union(*(names_in(text) for text in (*texts, (FOLDER / "rules" / "alerts.yml").read_text())))
    for_queries_of_ones_own = {metrics.UPDATED, metrics.BUILD}
    assert any(name.startswith(metric.name) for name in used) or metric in for_queries_of_ones_own


def test_the_dashboards_lead_to_each_other_and_take_the_choice_along() -> None:
    for here, there in ((FLEET, AGENT), (AGENT, FLEET)):
        (link,) = here["links"]
        assert link["url"].startswith(f"/d/{there['uid']}?")
        assert link["keepTime"] is True
        for name in ("datasource", "job", "instance"):
            assert f"${{{name}:queryparam}}" in link["url"]


def test_every_agent_in_a_table_or_a_bar_leads_to_its_own_dashboard() -> None:
    for panel in FLEET["panels"]:
        if panel["type"] in {"table", "bargauge"}:
            links = re.findall(r'"url": "([^"]*)"', json.dumps(panel))
            assert links, panel["title"]
            for url in links:
                assert url.startswith(f"/d/{AGENT['uid']}?")
                assert re.search(r"&var-agent=\$\{__(value\.raw|field\.labels\.agent):percentencode\}$", url)


def test_who_is_broken_names_the_instance_in_each_of_its_columns() -> None:
    (panel,) = [one for one in FLEET["panels"] if one["title"] == "Who is broken"]
    assert all(re.match(r"max by \(instance, agent[,)]", target["expr"]) for target in panel["targets"])
    (arranged,) = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
    assert arranged["renameByName"]["instance"] == "Instance"


@every_query
def test_an_average_is_one_of_measured_tasks(expr: str) -> None:
    tokens_or_cost = rf"({metrics.TOKENS.name}|{metrics.COST.name})\b.* / "
    is_share = "cache_read" in expr or " / on () " in expr
    if re.search(tokens_or_cost, expr) and not is_share:
        assert expr.partition(" / ")[2].count(metrics.MEASURED.name) == 1
    assert metrics.MODEL_TASKS.name not in expr, "these are also tasks whose tokens aren't known"


# Alerts and the files around them.


@every_alert
def test_an_alert_has_a_severity_a_summary_and_a_section_of_the_runbook(alert: Json) -> None:
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert page == RUNBOOK
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert anchor == alert["alert"].lower()
    assert alert["alert"] in headings


@every_alert
def test_an_alert_names_the_instance_and_the_agent_that_it_is_about(alert: Json) -> None:
    summary = alert["annotations"]["summary"]
    assert "$labels.instance" in summary
    assert "$labels.agent" in summary or alert["alert"] in {"OtelTrackerNotScraped", "OtelTrackerStateUnreadable"}


@every_alert
def test_an_alert_has_tests_of_when_it_fires_and_when_it_is_quiet(alert: Json) -> None:
    groups = [group for name in RULE_TESTS for group in yaml.safe_load((FOLDER / name).read_text())["tests"]]
    cases = [case for group in groups for case in group["alert_rule_test"] if case["alertname"] == alert["alert"]]
    assert any(case.get("exp_alerts") for case in cases)
    quiet = [
        group["name"]
        for group in groups
        if {case["alertname"] for case in group["alert_rule_test"]} == {alert["alert"]}
        and not any(case.get("exp_alerts") for case in group["alert_rule_test"])
    ]
    assert quiet


def test_the_runbook_has_no_section_without_an_alert() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert headings == [alert["alert"] for alert in ALERTS]


def test_every_command_of_the_runbook_exists() -> None:
    from otel_tracker.cli.parser import parser

    for line in re.findall(r"`otel-tracker ([^`]+)`", (ROOT / "docs" / "runbook.md").read_text()):
        ours, _, _ = line.partition(" -- ")
        parser().parse_args(ours.split())


def test_what_is_provisioned_is_where_compose_mounts_it() -> None:
    compose = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())["services"]
    providers = yaml.safe_load((FOLDER / "provisioning" / "dashboards" / "otel-tracker.yml").read_text())["providers"]
    mounted = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    assert mounted["./dashboards"] == providers[0]["options"]["path"]
    for source, target in (volume.split(":")[:2] for volume in compose["prometheus"]["volumes"]):
        if source.startswith("./"):
            assert (FOLDER / source).exists()
            assert target == f"/etc/prometheus/{source[2:]}"


def test_compose_shows_the_home_read_only_and_nothing_beyond_this_machine() -> None:
    services = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())["services"]
    tracker = services["tracker"]
    assert tracker["command"][:1] + tracker["command"][3:5] == ["serve", "--host", "0.0.0.0"]  # noqa: S104 - asserted
    assert [volume["read_only"] for volume in tracker["volumes"]] == [True]
    assert tracker["read_only"] is True
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"][0]
    port = tracker["command"][tracker["command"].index("--port") + 1]
    assert scraped["static_configs"] == [{"targets": [f"tracker:{port}"]}]


@pytest.mark.processes
def test_the_compose_file_fits_the_schema_of_the_compose_specification() -> None:
    checker = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent)) or shutil.which(
        "check-jsonschema"
    )
    if checker is None:
        miss("check-jsonschema is missing; install it with: pip install check-jsonschema")
    command = [checker, "--builtin-schema", "vendor.compose-spec", str(FOLDER / "docker-compose.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


# Grafana's own schemas.


@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")
@every_dashboard
def test_a_dashboard_says_the_same_after_grafanas_sdk_for_python_has_read_it(dashboard: Json) -> None:
    try:
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.models.dashboard import Dashboard
    except ImportError:
        miss("grafana-foundation-sdk is missing; install it with: pip install grafana-foundation-sdk==0.0.21")
    read = Dashboard.from_json(cast("dict[str, Any]", json.loads(json.dumps(dashboard))))
    again = json.loads(JSONEncoder(sort_keys=True).encode(read))
    assert again["uid"] == dashboard["uid"]
    assert _missing(dashboard["templating"], again["templating"]) == []
    assert _missing(dashboard["panels"], again["panels"]) == []


def _missing(ours: Any, theirs: Any, place: str = "") -> list[str]:
    """Return where something of ours is not in theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            found
            for key, value in ours.items()
            for found in (_missing(value, theirs[key], f"{place}.{key}") if key in theirs else [f"{place}.{key}"])
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [found for at, (one, other) in pairs for found in _missing(one, other, f"{place}[{at}]")]
    return [] if ours == theirs else [f"{place}: {ours!r} became {theirs!r}"]


PANEL_TYPES = {
    "bargauge": "BarGauge",
    "heatmap": "Heatmap",
    "stat": "Stat",
    "state-timeline": "StateTimeline",
    "table": "Table",
    "timeseries": "TimeSeries",
}
TYPES = "./node_modules/@grafana/schema/dist/types/raw"
WITH_FIELDS = {"heatmap", "state-timeline", "table", "timeseries"}


def _typescript() -> str:
    """Return the dashboards as literals of the types of @grafana/schema; enums are written as their values."""
    lines = [
        f'import type {{ Dashboard, Panel }} from "{TYPES}/dashboard/x/types.gen";',
        *(
            f'import type * as {name} from "{TYPES}/composable/{kind.replace("-", "")}/panelcfg/x/types.gen";'
            for kind, name in PANEL_TYPES.items()
        ),
        "type Plain<T> = T extends string ? `${T}` : T extends number ? `${T}` extends `${infer N extends number}`",
        "  ? N : number : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;",
    ]
    for number, dashboard in enumerate(DASHBOARDS.values()):
        lines.append(f"export const d{number}: Plain<Dashboard> = {json.dumps(dashboard)};")
        for panel in dashboard["panels"]:
            name, of = PANEL_TYPES[panel["type"]], f"d{number}p{panel['id']}"
            lines.append(f"export const {of}: Plain<Panel> = {json.dumps(panel)};")
            lines.append(f"export const {of}o: Plain<{name}.Options> = {json.dumps(panel['options'])};")
            if panel["type"] in WITH_FIELDS:
                custom = json.dumps(panel["fieldConfig"]["defaults"]["custom"])
                lines.append(f"export const {of}f: Plain<{name}.FieldConfig> = {custom};")
    return "\n".join(lines)


WRONG = {
    '"mode": "thresholds"': '"mode": "tresholds"',
    '"schemaVersion": 42': '"schemaVersion": "42"',
    '"drawStyle": "line"': '"drawStyle": "lines"',
    '"wideLayout": true': '"wideLayouts": true',
}
with_the_schema = pytest.mark.xdist_group("schema")  # which is fetched, and compiled, once


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what the compiler says of the dashboards: as they are, by "right", and with each error of WRONG, by the error."""
    folder = tmp_path_factory.mktemp("schema")
    _install_schema(folder)
    right = _typescript()
    assert [word for word in WRONG if word not in right] == []
    texts = {"right": right, **{wrong: right.replace(word, wrong) for word, wrong in WRONG.items()}}
    for number, text in enumerate(texts.values()):
        (folder / f"dashboards{number}.ts").write_text(text)
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    command = ["node", "node_modules/typescript/bin/tsc", *options, *(path.name for path in folder.glob("*.ts"))]
    compiled = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    lines = compiled.stdout.splitlines()
    assert any("error" in line for line in lines), compiled
    assert not any(line.startswith("error") for line in lines), "the compiler complains of more than the dashboards"
    return {
        key: "\n".join(line for line in lines if line.startswith(f"dashboards{number}.ts"))
        for number, key in enumerate(texts)
    }


def _install_schema(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        miss("npm is missing; install it with: apt-get install npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    installed = subprocess.run([*command, *SCHEMA_PACKAGES], capture_output=True, text=True, check=False)
    if installed.returncode:
        miss(f"npm can't install {' '.join(SCHEMA_PACKAGES)}; npm needs a registry: {installed.stderr[-300:]}")


@pytest.mark.processes
@with_the_schema
def test_dashboards_are_of_the_types_of_grafanas_newest_schema(complaints: dict[str, str]) -> None:
    assert complaints["right"] == ""


@pytest.mark.processes
@with_the_schema
@pytest.mark.parametrize("wrong", WRONG.values())
def test_that_schema_notices_a_wrong_word_a_wrong_type_and_an_unknown_key(
    complaints: dict[str, str], wrong: str
) -> None:
    assert re.search(r"error TS2(322|353|820|561)\b", complaints[wrong])
