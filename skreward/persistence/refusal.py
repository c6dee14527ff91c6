"""Why a file is not loaded."""


class Refused(Exception):
    """A model that is not loaded; the message goes on from the file's name."""


class NotAModel(Exception):
    """A file that `save` has not written, or that was changed since."""
