"""The options of the sentiment under names of their own, for the interfaces that had them before
options had a prefix.
"""

from __future__ import annotations

from pydantic import Field

from app.api.parameters import JobOptions, Name, given_twice


class SentimentParameters(JobOptions):
    model: str | None = Field(
        default=None,
        max_length=200,
        description=(
            "Of the processor `sentiment`: how it scores. `vader`, `minilm`, `auto`, or one of your"
            " own; `vader` if not given."
        ),
    )
    text_column: Name | None = Field(
        default=None,
        min_length=1,
        description="Of the processor `sentiment`: where the texts are; `text` if not given.",
    )

    def processor_options(self) -> dict[str, str]:
        """Raises InvalidParameter for one that is given by both of its names."""
        options = super().processor_options()
        for name, value in (("model", self.model), ("text_column", self.text_column)):
            if value is None:
                continue
            if name in options:
                raise given_twice("query", name)
            options[name] = value
        return options
