"""What a reader of the format says no with."""


class Refused(Exception):
    """Nothing of the input is used; `code` is one of FORMAT.md section 11, or a step of section 1."""

    def __init__(self, code, why=""):
        super().__init__(f"{code}: {why}" if why else code)
        self.code = code


def due(condition, code, why=""):
    """Refuses with `code` unless `condition` holds."""
    if not condition:
        raise Refused(code, why)
