"""All stories, by their names."""

from pathlib import Path

import pytest

from tests.stories import bug_stories, outcome_stories, shape_stories, token_stories
from tests.stories.harness import Session
from tests.stories.payloads import NEWEST
from tests.stories.replay import STORIES, Expected, Story, prepare

MODULES = (outcome_stories, bug_stories, token_stories, shape_stories)  # each adds its stories

each_story = pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())


def told(story: Story, home: Path, version: str = NEWEST) -> tuple[Session, Expected]:
    """Return a session in which the story happens, and make a home for it."""
    session = Session(version=version)
    told = story(session)
    prepare(home, {run.agent for run in told.runs})
    return session, told
