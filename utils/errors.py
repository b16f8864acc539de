"""The one exception that people, not programmers, are meant to read."""


class UserError(ValueError):
    """Bad input: the message names the file or argument, what was found and what is accepted, in one sentence."""
