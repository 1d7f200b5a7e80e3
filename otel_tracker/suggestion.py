"""The commands that messages tell people, and Claude, to run: every one is made here, ready for a shell. Pure."""

INSTALL_AGAIN = "git pull && pip install . in a clone of otel-tracker"
"""How this package, which no index has, is updated."""


def command(name: str, *operands: str, home: "str | None" = None, options: "tuple[str, ...]" = ()) -> str:
    """Return the command `otel-tracker NAME OPTIONS OPERANDS`, quoted for a POSIX shell.

    `name` may be two words (`backups list`); `home` is what `--home` must name (Home.option), None for the default home.
    """
    from shlex import join  # only where there is something to suggest: `health` does without it

    place = [] if home is None else ["--home", home]
    is_like_an_option = any(operand.startswith("-") for operand in operands)
    rest = [*place, "--", *operands] if is_like_an_option else [*operands, *place]
    return join(["otel-tracker", *name.split(), *options, *rest])
