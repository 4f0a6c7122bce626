"""What is told of texts."""

from dataclasses import dataclass, replace

from cnnkit.engine.classification import Classification, shorten
from cnnkit.results import Record


@dataclass(frozen=True, repr=False)
class TextClassification(Classification):
    """What a text is about; its source is the text.

    Attributes:
        origin: where the text is from: a file, "-" for stdin, or "argument".
        line: its line there.
    """

    origin: str = "argument"
    line: int | None = None

    def to_record(self) -> Record:
        """What the command line's JSON says of the text."""
        details = {"text": self.source, "line": self.line}
        return replace(super().to_record(), source=self.origin, details=details)

    def lines(self, is_short: bool = False) -> list[str]:
        """For people: the text, and a line for each class.

        Args:
            is_short: the most probable class and the text in one line.
        """
        text, shown = shorten(self.source), self.class_lines()
        return (
            [f"{shown[0].strip()}  {text}"] if is_short else [text, *(f"  {one}" for one in shown)]
        )
