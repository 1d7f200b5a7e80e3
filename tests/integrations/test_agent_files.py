"""The agents of a folder, which may be put together from checkouts by links."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from otel_tracker.integrations.agent_files import agent_files, front_matter_name


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    return tmp_path / "user" / "agents"


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\nname: {path.stem}\n---\n")


def link(path: Path, target: "Path | str") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def keys(folder: Path) -> list[str]:
    found = list(agent_files(str(folder)))
    assert [os.path.basename(key).removesuffix(".md") for key, _ in found] == [name for _, name in found]
    return [key for key, _ in found]


def test_files_are_found_in_the_order_of_their_keys_and_folders_of_the_home_are_left_out(agents: Path) -> None:
    for key in ("b/z.md", "b.md", "a/config/x.md", "config/x.md", "journal/x.md", "a.txt", "a/deep/er/y.md"):
        put(agents / key)
    link(agents / "scripts", agents / "b")
    assert keys(agents) == ["a/config/x.md", "a/deep/er/y.md", "b.md", "b/z.md"]


def test_linked_folders_are_walked_and_linked_files_read(agents: Path, tmp_path: Path) -> None:
    for key in ("agents/sub/x.md", "agents/y.md", "config/z.md", "single.md"):
        put(tmp_path / "collection" / key)
    link(agents / "collection", tmp_path / "collection")
    link(agents / "mine" / "single.md", tmp_path / "collection" / "single.md")
    link(tmp_path / "linked agents", agents)
    for folder in (agents, tmp_path / "linked agents"):
        assert keys(folder) == [
            "collection/agents/sub/x.md",
            "collection/agents/y.md",
            "collection/config/z.md",
            "collection/single.md",
            "mine/single.md",
        ]


@pytest.mark.parametrize("target", ["agents", "user", "", "collection", "collection/deep", "loop"])
def test_a_link_that_leads_back_is_not_walked(agents: Path, tmp_path: Path, target: str) -> None:
    put(tmp_path / "user" / "elsewhere.md")
    put(tmp_path / "collection" / "deep" / "x.md")
    put(agents / "own.md")
    link(agents / "collection", tmp_path / "collection")
    loop = tmp_path / "collection" / "deep" / "loop"
    link(loop, {"agents": agents, "user": agents.parent, "": tmp_path, "loop": loop}.get(target) or tmp_path / target)
    expected = ["collection/deep/x.md", "own.md"]
    assert keys(agents) == expected


def test_a_folder_that_several_paths_lead_to_is_read_once_by_its_own_path(agents: Path, tmp_path: Path) -> None:
    put(agents / "core" / "x.md")
    put(tmp_path / "collection" / "y.md")
    link(agents / "a", "core")
    link(agents / "first", tmp_path / "collection")
    link(agents / "second", tmp_path / "collection")
    link(tmp_path / "collection" / "third", agents / "core")
    assert keys(agents) == ["core/x.md", "first/y.md"]


def test_links_that_lead_nowhere_and_names_that_are_no_files_are_left_out(agents: Path, tmp_path: Path) -> None:
    put(agents / "x.md")
    link(agents / "gone", tmp_path / "gone")
    link(agents / "gone.md", tmp_path / "gone.md")
    (agents / "folder.md").mkdir()
    os.mkfifo(agents / "pipe.md")
    assert keys(agents) == ["x.md"]


NAMES = {
    "name: coder": "coder",
    "name:   Database Expert  ": "Database Expert",
    "name: plugin:coder@2.0 (old)": "plugin:coder@2.0 (old)",
    "name: größe": "größe",
    "name: coder # which codes": "coder",
    "name: c#": "c#",
    "name: 'it''s'": "it's",
    'name: "caf\\u00e9"': "café",
    'name: "coder" # which codes': "coder",
    "name: >-\n  coder": "coder",
    "name: |\n  coder\n": "coder",
    "name: |+\n\n  coder\n\n": "coder",
    "name:\n  coder": "coder",
    "name: two\n  lines": "two lines",
    '"name": coder': "coder",
    "'name' : coder": "coder",
    "name : coder": "coder",
    "name: !!str 12": "12",
    "name: 2024-01-01": "2024-01-01",
    "name: yes": "yes",
    "name: a: b": "a: b",  # no YAML: as it stands there
    "name: coder\nname: other": "coder",
    "description: name: evil\nname: coder": "coder",
    "description: |\n  name: evil\nname: coder": "coder",
    "description: <example>user: 'no YAML: at all\ntools: [a, b\nname: coder": "coder",
    "description: a\u2028name: evil\nname: coder": "coder",
    "description: a\x85name: evil\x0cname: evil\nname: coder": "coder",
    f"description: {'x' * 100_000}\nname: coder": "coder",
    "# a comment\n\nname: coder\r": "coder",
    "names: evil\nname:x\nname: coder": "coder",
    "name:": None,
    "name: [a, b]": None,
    "name: {a: b}": None,
    'name: "\\Uffffffff"': '"\\Uffffffff"',  # no letter: as it stands there
    f"name: {'[' * 8000}": None,
    f"name: '{'x' * 600}'": None,
    "title: x": None,
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("front", NAMES, ids=lambda front: front[:40])
def test_a_name_is_read_as_yaml_has_it_whatever_else_is_in_the_front_matter(
    tmp_path: Path, front: str, ending: str
) -> None:
    path = tmp_path / "file.md"
    path.write_bytes(f"\ufeff---\n{front}\nmodel: sonnet\n---\nname: evil\n".replace("\n", ending).encode())
    assert front_matter_name(str(path)) == NAMES[front]


@pytest.mark.parametrize("text", ["", "name: coder\n", "----\nname: coder\n", "\n---\nname: coder\n---\n"])
def test_a_file_without_a_front_matter_has_no_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.md"
    path.write_text(text)
    assert front_matter_name(str(path)) is None


printing = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=40)


@given(printing.filter(lambda text: text == text.strip()), st.sampled_from([None, "'", '"', "|", ">"]), st.booleans())
def test_a_name_that_yaml_has_written_is_read_back(name: str, style: "str | None", is_ascii: bool) -> None:
    text = yaml.dump({"name": name}, default_style=style, allow_unicode=not is_ascii, width=20)
    with tempfile.NamedTemporaryFile("w", suffix=".md", encoding="utf-8") as file:
        file.write(f"---\n{text}---\n")
        file.flush()
        assert front_matter_name(file.name) == name


@pytest.mark.processes
def test_an_ordinary_file_is_read_without_the_yaml_library(agents: Path) -> None:
    put(agents / "coder.md")
    code = f"import sys; from otel_tracker.integrations.agent_files import agent_files as f; print(*f({str(agents)!r}), 'yaml' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "('coder.md', 'coder') False\n"
