"""Parameters `model` and `text_column`, which interfaces had before options got a prefix."""

from __future__ import annotations

from pydantic import Field

from app.api.parameters import JobOptions, Name, given_twice


class SentimentParameters(JobOptions):
    model: str | None = Field(
        default=None,
        max_length=200,
        description=(
            "Model of the processor `sentiment`: `vader`, `minilm`, `auto`, or one of your own;"
            " `vader` if not given."
        ),
    )
    text_column: Name | None = Field(
        default=None,
        min_length=1,
        description="Column of texts for the processor `sentiment`; `text` if not given.",
    )

    def processor_options(self) -> dict[str, str]:
        """Return the options of the processor. Raises InvalidParameter if one is given by both names."""
        options = super().processor_options()
        for name, value in (("model", self.model), ("text_column", self.text_column)):
            if value is None:
                continue
            if name in options:
                raise given_twice("query", name)
            options[name] = value
        return options
