from typing import Any

import pytest

from otel_tracker.state.document import Document
from otel_tracker.state.fallbacks import chain_of
from tests.builders import document_of

CODER, EXPERT, HELPER = "core/coder.md", "experts/database_expert.md", "core/helper.md"


def document(chain: Any, **configs: Any) -> Document:
    agents: dict[str, Any] = {key: {} for key in (CODER, EXPERT, HELPER)}
    for stem, config in configs.items():
        agents[next(key for key in agents if stem in key)] = {"config": config}
    return document_of({"fallback_chain": chain, "agents": agents})


@pytest.mark.parametrize(
    ("chain", "agent", "expected"),
    [
        (None, CODER, [CODER]),
        ({}, CODER, [CODER]),
        ("not an object", CODER, [CODER]),
        ({"L2_to_L1": {"coder": "database_expert"}}, CODER, [CODER, EXPERT]),
        ({"L2_to_L1": {"coder": "database_expert"}}, EXPERT, [EXPERT]),
        ({"L1_fallbacks": {"coder": {"fallbacks": ["helper", "database_expert"]}}}, CODER, [CODER, HELPER, EXPERT]),
        (
            {"L2_to_L1": {"coder": "database_expert"}, "L1_fallbacks": {"database_expert": {"fallbacks": ["helper"]}}},
            CODER,
            [CODER, EXPERT, HELPER],
        ),
        ({"L2_to_L1": {"coder": "database_expert", "database_expert": "coder"}}, CODER, [CODER, EXPERT]),
        ({"L2_to_L1": {"coder": "coder"}}, CODER, [CODER]),
        ({"L2_to_L1": {"coder": "nobody"}}, CODER, [CODER, "nobody"]),
        ({"ultimate_fallback": HELPER}, CODER, [CODER, HELPER]),
        ({"ultimate_fallback": CODER}, CODER, [CODER]),
        ({"L2_to_L1": {"coder": 5}, "L1_fallbacks": {"coder": ["x"]}, "ultimate_fallback": 7}, CODER, [CODER]),
        ({"L1_fallbacks": {"coder": {"fallbacks": "helper"}}}, CODER, [CODER]),
        ({"L1_fallbacks": {"coder": {"fallbacks": [None, "helper"]}}}, CODER, [CODER, HELPER]),
    ],
)
def test_the_documents_chain_is_followed_step_by_step_and_each_agent_comes_once(
    chain: Any, agent: str, expected: list[str]
) -> None:
    assert chain_of(document(chain), agent) == expected


@pytest.mark.parametrize("wrong", [{"failure_threshold": "many"}, {"environment_errors": 7, "retry_attempts": -1}])
def test_an_agents_list_holds_beside_a_wrong_setting(wrong: dict[str, Any]) -> None:
    assert chain_of(document({}, coder={"fallbacks": [HELPER], **wrong}), CODER) == [CODER, HELPER]
    chain = {"L2_to_L1": {"coder": "database_expert"}}
    assert chain_of(document(chain, coder={"fallbacks": "no list", **wrong}), CODER) == [CODER, EXPERT]


def test_the_callers_list_is_all_there_is() -> None:
    full = document({"L2_to_L1": {"coder": "database_expert"}, "ultimate_fallback": HELPER})
    assert chain_of(full, CODER, ["a.md", "b.md", "a.md", CODER]) == [CODER, "a.md", "b.md"]
    assert chain_of(full, CODER, []) == [CODER]


def test_an_agents_own_list_is_all_there_is_for_it_and_part_of_the_chain_for_others() -> None:
    chain = {"L2_to_L1": {"coder": "database_expert", "database_expert": "coder"}, "ultimate_fallback": CODER}
    own = document(chain, database_expert={"fallbacks": [HELPER]})
    assert chain_of(own, EXPERT) == [EXPERT, HELPER]
    assert chain_of(own, CODER) == [CODER, EXPERT, HELPER]


def test_an_agents_own_list_that_is_none_is_left_out() -> None:
    own = document({"ultimate_fallback": HELPER}, coder={"fallbacks": "database_expert"})
    assert chain_of(own, CODER) == [CODER, HELPER]
