"""The agents of a folder, which may be put together from checkouts by links."""

import os
from pathlib import Path

import pytest

from otel_tracker.agent_files import agent_files


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
