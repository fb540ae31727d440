"""Errors whose message is meant for the person who runs Maskmill."""


class MaskmillError(Exception):
    """Something the user can mend: the message says what was found, where, what was expected and what to do.

    Shown without a traceback by the command line and by the rules' scripts.
    """
