"""The words that events, spans and documents share: actions, outcomes, token types, model families, attributes.

Span attributes follow OpenTelemetry's conventions for generative AI (open-telemetry/semantic-conventions-genai, in
development); attributes without a name there begin with `otel_tracker.`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "0.1.0"
"""The version of this package."""

# Actions of events.
TASK_STARTED = "task_started"
TASK_COMPLETED = "task_completed"
TASK_FAILED = "task_failed"
TASK_CANCELLED = "task_cancelled"
TASK_LOST = "task_lost"
TASK_AMENDED = "task_amended"
USAGE_RECORDED = "usage_recorded"  # of the main conversation: no agent's
AGENT_REGISTERED = "agent_registered"
AGENT_RESET = "agent_reset"
AGENT_REMOVED = "agent_removed"
AGENT_RENAMED = "agent_renamed"
COOLDOWN_SHORTENED = "cooldown_shortened"
PROBE_GRANTED = "probe_granted"
PROBE_RETURNED = "probe_returned"
TASK_REJECTED = "task_rejected"
BREAKER_OVERRIDE = "breaker_override"
SETTINGS_CHANGED = "settings_changed"
DOCUMENT_RESTORED = "document_restored"

UNLISTED = (TASK_STARTED, USAGE_RECORDED)
"""Actions that a history doesn't list: of a task it has the end, and a main conversation is no task."""

SUCCESS, FAILURE, CANCELLED, LOST = "success", "failure", "cancelled", "lost"
OUTCOMES = {TASK_COMPLETED: SUCCESS, TASK_FAILED: FAILURE, TASK_CANCELLED: CANCELLED, TASK_LOST: LOST}
ACTIONS = {outcome: action for action, outcome in OUTCOMES.items()}

# What is counted of an agent beside its tasks.
TALLIES = (
    *("lost", "amended", "opened", "rejected", "fallback"),
    *("usage_incomplete", "amended_success", "amended_failure", "amended_cancelled"),
)

# Reasons of a model to stop that make an answer incomplete, or no answer, whatever text it has.
UNANSWERED_BECAUSE = {
    "refusal": "the model refused to answer",
    "max_tokens": "its last answer was cut off at the limit for output tokens",
    "model_context_window_exceeded": "its last answer was cut off at the end of the context window",
}

TOKEN_TYPES = ("input", "output", "cache_read", "cache_write", "untyped")
"""Parts that exclude each other: their sum is the number of tokens."""
CACHE_WRITE_1H = "cache_write_1h"
"""The part of `cache_write` that is kept for an hour, which costs more; the rest is kept for 5 minutes, or for an unknown time."""
TOKEN_KEYS = (*TOKEN_TYPES, CACHE_WRITE_1H)
COST = "cost_micro_usd"
"""What tokens cost by list prices (state/prices.py), in millionths of a US dollar: whole, so that sums don't depend on order."""
PRICED = "priced"
"""How many of the tokens have a price. Those without one are missing in the cost, which is then a lower bound."""
USAGE_KEYS = (*TOKEN_KEYS, COST, PRICED)
"""What is counted of tokens, by model: adding and subtracting goes key by key."""

# Models in every report, in this order, and the families under which full model ids are counted.
# Tokens of a task without a model are counted under UNKNOWN_MODEL.
REPORTED_MODELS = ("haiku", "sonnet", "opus")
FAMILIES = (*REPORTED_MODELS, "fable")
UNKNOWN_MODEL = "unknown"

# Breaker states, and what the document calls them in `status`.
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
FORCED_OPEN, DISABLED = "forced_open", "disabled"
STATUSES = {CLOSED: "healthy", OPEN: "blacklisted", HALF_OPEN: "half_open"}

# Why a breaker refuses a task, beside FORCED_OPEN; reporting/wording.py has the words for it.
FAILURES, PROBE_RUNNING = "failures", "probe_running"
NO_FALLBACK = "no_fallback"  # the agent is refused, and so are all of its fallbacks

# Why a permit ended without its task, as the journal's events say it.
PERMIT_NOT_USED = "not used"
PERMIT_GIVEN_BACK = "given back"
PROBE_OVERDUE = "the probe has not ended in time"

# The conventions' version, as their repository declares it; there is no release yet.
SCOPE = "otel_tracker"
"""The instrumentation scope of this package's own spans."""
SCHEMA_URL = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"

# Span attributes of the conventions.
GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_AGENT = "gen_ai.agent.name"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_CONVERSATION = "gen_ai.conversation.id"
GEN_AI_TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no secret
ERROR_TYPE = "error.type"
INVOKE_AGENT = "invoke_agent"
ATTEMPT, CIRCUIT_TRANSITION, CIRCUIT_REFUSAL = "attempt", "circuit_transition", "circuit_refusal"  # span events

# Span attributes of our own.
SPAN_RUN_ID = "otel_tracker.run_id"
SPAN_TASK_ID = "otel_tracker.task_id"
SPAN_OUTCOME = "otel_tracker.outcome"
SPAN_TOKENS = "otel_tracker.tokens_used"
SPAN_ESTIMATED = "otel_tracker.tokens_estimated"
SPAN_ATTEMPT = "otel_tracker.attempt"
SPAN_ERROR = "otel_tracker.error"
SPAN_FALLBACK_FOR = "otel_tracker.fallback_for"
SPAN_CIRCUIT_STATE = "otel_tracker.circuit.state"
SPAN_REFUSED_FOR = "otel_tracker.circuit.reason"
SPAN_REFUSED_UNTIL = "otel_tracker.circuit.until"
SPAN_FALLBACK = "otel_tracker.fallback"

# Metrics: those of the conventions, and our own.
METRIC_DURATION = "gen_ai.invoke_agent.duration"
METRIC_TOKENS = "gen_ai.client.token.usage"
METRIC_TASKS = "otel_tracker.tasks"
METRIC_COST = "otel_tracker.cost"
METRIC_TRANSITIONS = "otel_tracker.circuit.transitions"
METRIC_EVENTS = "otel_tracker.events"
METRIC_EVENT_RESULT = "otel_tracker.result"
METRIC_WRITES = "otel_tracker.write.duration"
METRIC_LOCK_WAITS = "otel_tracker.lock.wait.duration"

_NO_TOKENS = (CACHE_WRITE_1H, COST, PRICED)  # parts, or properties, of tokens that are counted by their type
_IGNORED_SIGNS = dict.fromkeys(map(ord, "-_ "))  # in an agent's name


def model_family(model: str) -> str:
    """Return the family that a full model id belongs to (`claude-sonnet-5` is `sonnet`), else the model itself."""
    parts = model.lower().replace("[", "-").split("-")
    return next((family for family in FAMILIES if family in parts), model)


def agent_stem(agent: str) -> str:
    """Return the file's stem of an agent key: `database_expert` of `experts/database_expert.md`."""
    return agent.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".md")


def normal_name(name: str) -> str:
    """Return an agent's name as Claude Code compares it: without case, `-`, `_` and spaces (2.1.197 and newer)."""
    return name.lower().translate(_IGNORED_SIGNS)


def failures_in_a_row(count: int) -> str:
    """Return the words for a number of consecutive failures: `1 failure in a row`."""
    return f"{count} failure{'' if count == 1 else 's'} in a row"


def provider_of(model: "str | None") -> str:
    """Return the provider of a model as the conventions name it: Anthropic for its families, else `_OTHER`."""
    if model is None or model in FAMILIES:
        return "_OTHER" if model is None else "anthropic"
    return "anthropic" if model_family(model) in FAMILIES or model.lower().startswith("claude") else "_OTHER"


def added_tokens(one: "dict[str, int]", other: "dict[str, int]") -> "dict[str, int]":
    """Return the sum of tokens by type."""
    return {token_type: one.get(token_type, 0) + other.get(token_type, 0) for token_type in {**one, **other}}


def total_tokens(tokens: "Mapping[str, int]") -> int:
    """Return the number of tokens that were counted by type."""
    return sum([number for key, number in tokens.items() if key not in _NO_TOKENS])


def conventional_tokens(tokens: "dict[str, int]") -> "dict[str, int]":
    """Return tokens by the conventions' types: `input`, which includes those of the cache, `output`, else `untyped`."""
    if set(tokens) == {"untyped"}:
        return tokens
    cached = tokens.get("cache_read", 0) + tokens.get("cache_write", 0)
    return {"input": tokens.get("input", 0) + cached, "output": tokens.get("output", 0)}


def usage_attributes(tokens: "dict[str, int]") -> "dict[str, int]":
    """Return the span attributes of tokens by type; the conventions' input tokens include those of the cache."""
    attributes = {SPAN_TOKENS: total_tokens(tokens)}
    if set(tokens) != {"untyped"}:
        total = conventional_tokens(tokens)
        attributes[GEN_AI_INPUT_TOKENS], attributes[GEN_AI_OUTPUT_TOKENS] = total["input"], total["output"]
        attributes[GEN_AI_CACHE_READ_TOKENS] = tokens.get("cache_read", 0)
        attributes[GEN_AI_CACHE_WRITE_TOKENS] = tokens.get("cache_write", 0)
    return attributes
