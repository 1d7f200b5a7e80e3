"""Failures that are not the agent's: rate limits, overload, authentication, billing and account holds. Pure.

They fail the task, but don't count for its breaker. A document's `config` can name more (`environment_errors`).

Sources: the error types of the Anthropic API (status 401, 402, 429, 529), the class names that its SDK and those of
others give them, and the error codes and texts of Claude Code.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RATE_LIMIT, OVERLOADED, AUTHENTICATION, BILLING = "rate_limit", "overloaded", "authentication", "billing"

# An exception's class, or one that it is derived from, by its name.
TYPES = {
    "RateLimitError": RATE_LIMIT,
    "RateLimitExceeded": RATE_LIMIT,
    "ResourceExhausted": RATE_LIMIT,
    "ThrottlingException": RATE_LIMIT,
    "TooManyRequests": RATE_LIMIT,
    "TooManyRequestsError": RATE_LIMIT,
    "OverloadedError": OVERLOADED,
    "AuthenticationError": AUTHENTICATION,
    "PermissionDeniedError": AUTHENTICATION,
    "Unauthenticated": AUTHENTICATION,
}

# The HTTP status that an exception carries as `status_code`.
STATUSES = {401: AUTHENTICATION, 402: BILLING, 429: RATE_LIMIT, 529: OVERLOADED}

# What an error's text contains, in small letters; the first one found decides.
TEXTS = {
    "billing_error": BILLING,
    "credit balance is too low": BILLING,
    "insufficient_quota": BILLING,
    "account_on_hold": BILLING,
    "account is on hold": BILLING,
    "oauth_org_not_allowed": BILLING,
    "organization has been disabled": BILLING,
    "organization has disabled": BILLING,
    "authentication_error": AUTHENTICATION,
    "authentication_failed": AUTHENTICATION,
    "invalid api key": AUTHENTICATION,
    "invalid x-api-key": AUTHENTICATION,
    "oauth token has expired": AUTHENTICATION,
    "please run /login": AUTHENTICATION,
    "permission_error": AUTHENTICATION,
    "not allowed for this organization": AUTHENTICATION,
    "rate_limit": RATE_LIMIT,
    "rate limit": RATE_LIMIT,
    "ratelimit": RATE_LIMIT,
    "too many requests": RATE_LIMIT,
    "usage limit reached": RATE_LIMIT,
    "hour limit reached": RATE_LIMIT,
    "weekly limit reached": RATE_LIMIT,
    "session limit reached": RATE_LIMIT,
    "temporarily limiting requests": RATE_LIMIT,
    "reached your usage limit": RATE_LIMIT,
    "hit your limit": RATE_LIMIT,
    "hit your session limit": RATE_LIMIT,
    "hit your weekly limit": RATE_LIMIT,
    "hit your usage limit": RATE_LIMIT,
    "overloaded_error": OVERLOADED,
    "overloadederror": OVERLOADED,
    "529 overloaded": OVERLOADED,
    "api is overloaded": OVERLOADED,
}

_API_ERROR = "api error"  # what a status follows in Claude Code's texts


def kind_of(error: "BaseException | None", text: "Any" = None) -> "str | None":
    """Return which outage an error, or an error's text, tells of; None where it may be the agent's own."""
    if error is not None:
        by_type = (TYPES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in TYPES)
        status = getattr(error, "status_code", None)
        found = next(by_type, None) or (STATUSES.get(status) if isinstance(status, int) else None)
        if found is not None:
            return found
    said = text.lower() if isinstance(text, str) else ""
    of_api = said.partition(_API_ERROR)[2].strip(" :.()")
    status = of_api[:3] if not of_api[3:4].isalnum() else ""
    if status.isascii() and status.isdigit() and int(status) in STATUSES:
        return STATUSES[int(status)]
    if OVERLOADED in (said.strip(), of_api):  # Claude Code's code for it; within a sentence the word says nothing
        return OVERLOADED
    return next((kind for part, kind in TEXTS.items() if part in said), None)
