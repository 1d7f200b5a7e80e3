"""The shapes in which runs come: tool names, agents' names, kinds of runs, several at once."""

from tests.stories.harness import Session
from tests.stories.replay import Ended, Expected, story


@story
def tool_of_old_versions(session: Session) -> Expected:
    run = session.agent()
    run.tool_name = "Task"
    run.is_asked_for().begins().works().ends().completes()
    session.stops()
    return Expected([Ended()])


@story
def run_without_an_agent_type_is_general_purpose(session: Session) -> Expected:
    run = session.agent("general-purpose")
    del run.tool_input["subagent_type"]
    run.is_asked_for().begins().works().ends().completes()
    session.stops()
    return Expected([Ended(agent="general-purpose")])


@story
def agent_without_a_file_keeps_its_name(session: Session) -> Expected:
    session.launches("my-plugin:reviewer").begins().works().ends().completes()
    session.stops()
    return Expected([Ended(agent="my-plugin:reviewer")])


@story
def agent_id_with_and_without_its_prefix(session: Session) -> Expected:
    run = session.launches().begins()
    run.begins(f"agent-{run.agent_id}").works()
    run.ends(agent_id=f"agent-{run.agent_id}").completes(agentId=f"agent-{run.agent_id}")
    session.stops()
    return Expected([Ended()])


@story
def moved_to_the_background_while_it_ran(session: Session) -> Expected:
    run = session.launches(run_in_background=False).begins().is_prompted().calls_a_tool().is_in_background()
    session.stops(run)
    run.gets_a_result().answers().ends().is_notified("completed")
    session.stops()
    return Expected([Ended()])


@story
def launched_elsewhere(session: Session) -> Expected:
    run = session.launches(isolation="remote")
    url = "https://claude.example/session_1"
    run.is_in_background(status="remote_launched", agentId=None, taskId=run.agent_id, sessionUrl=url)
    run.is_notified("completed")
    session.stops()
    return Expected([Ended(models={})], {"PostToolUse": []})  # a notification alone tells of no type


@story
def nested_agents(session: Session) -> Expected:
    outer = session.launches().begins().is_prompted().calls_a_tool()
    inner = session.launches("Explore", by=outer).begins().works()
    inner.ends().completes()
    outer.gets_a_result().answers().ends().completes()
    session.stops()
    return Expected([Ended(), Ended(agent="Explore")])


@story
def nested_agent_in_the_background(session: Session) -> Expected:
    outer = session.launches().is_in_background().begins().is_prompted().calls_a_tool()
    inner = session.launches("Explore", by=outer).is_in_background().begins().works()
    outer.gets_a_result().answers().ends().is_notified("completed")
    session.stops(inner)
    inner.ends()
    session.stops()
    return Expected([Ended(), Ended(agent="Explore")])


@story
def teammate_is_recorded(session: Session) -> Expected:
    run = session.agent("reviewer").begins()
    run.is_prompted(sidecar={"agentType": "reviewer", "name": "rita", "taskKind": "in_process_teammate"})
    run.calls_a_tool().gets_a_result().answers().ends()
    session.fires("TeammateIdle", teammate_name="rita", team_name="review")
    session.stops(run)
    session.is_over()
    return Expected([Ended(agent="reviewer")])


@story
def several_agents_at_once(session: Session) -> Expected:
    runs = [session.launches() for _ in range(3)]
    for run in runs:
        run.begins()
    for run in runs:
        run.works()
    for run in reversed(runs):
        run.ends().completes()
    session.stops()
    return Expected([Ended()] * 3)


@story
def several_agents_in_the_background(session: Session) -> Expected:
    runs = [session.launches().is_in_background().begins() for _ in range(3)]
    session.stops(*runs)
    for run in runs:
        run.works().ends()
    for run in runs:
        run.is_notified("completed")
    session.stops()
    return Expected([Ended()] * 3)


@story
def sidecar_is_missing(session: Session) -> Expected:
    run = session.launches().begins()
    run.hears("Find all API endpoints.").calls_a_tool().gets_a_result().answers().ends().completes()
    session.stops()
    return Expected([Ended()])


@story
def sidecar_that_names_nothing(session: Session) -> Expected:
    run = session.launches().is_in_background().begins().is_prompted(sidecar={})
    run.calls_a_tool().gets_a_result().answers().ends().is_notified("completed")
    session.stops()
    return Expected([Ended()])


@story
def to_do_items_and_unknown_events_are_no_runs(session: Session) -> Expected:
    session.starts()
    session.fires("TaskCreated", task_id="1", task_subject="Write tests")
    session.launches().begins().works().ends().completes()
    session.fires("TaskCompleted", task_id="1", task_subject="Write tests")
    session.fires("PreToolUse", shape="PreToolUse.Bash", tool_use_id="toolu_bash")
    session.fires(
        "PostToolUse", tool_name="Bash", tool_input={}, tool_response={"stdout": ""}, tool_use_id="toolu_bash"
    )
    session.fires("EventOfTheFuture", agent_id="a1", whatever=[1])
    session.asks("<task-notification> is what I was asking about")
    session.stops()
    return Expected([Ended()])


@story
def what_ran_beats_what_was_wished(session: Session) -> Expected:
    run = session.agent("CODER")
    run.is_asked_for().is_in_background()
    run.kind = "coder"
    run.begins().works().ends().is_notified("completed")
    session.stops()
    return Expected([Ended()])


@story
def type_that_no_agent_is_called_is_the_one_that_ran(session: Session) -> Expected:
    run = session.agent("search the code")
    run.is_asked_for()
    run.kind = "Explore"
    run.begins().works().ends().completes()
    session.stops()
    return Expected([Ended(agent="Explore")])


@story
def teammate_is_the_agent_that_it_was_made_of(session: Session) -> Expected:
    return _teammate(session, has_id=True)


@story
def teammate_of_whom_its_launch_tells_the_name_alone(session: Session) -> Expected:
    session.version = "2.1.240"
    return _teammate(session, has_id=False)


def _teammate(session: Session, *, has_id: bool) -> Expected:
    run = session.agent("coder", name="helper").is_asked_for()
    run.kind, run.agent_id = "helper", f"ahelper-{run.agent_id[1:]}"
    of_team = {"teammate_id": "helper@s", "agent_id": run.agent_id if has_id else "helper@s", "agent_type": "coder"}
    run.gives({"status": "teammate_spawned", "agentId": run.agent_id, **of_team})
    run.transcript = run.transcript.with_name(f"agent-{run.agent_id}.jsonl")
    sidecar = {"agentType": "helper", "name": "helper", "taskKind": "in_process_teammate", "customAgentType": "coder"}
    run.begins().is_prompted(sidecar=sidecar).calls_a_tool().gets_a_result().answers().ends()
    session.stops()
    session.is_over()
    return Expected([Ended()])
