"""What ought to become of a raw CSV file, by another road: one character after the other, in plain Python.

Shares no code with the product. `read` tells of every physical line which record it belongs to, so a test or
a fuzzer can compare all of it with the tables.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """A record on lines `line` to `line + lines - 1`; `fields` is None where it has no end."""

    line: int
    lines: int
    content: str
    fields: list[str] | None

    @property
    def values(self) -> list[str | None]:
        """What SQL sees: without spaces around, and NULL where nothing is left."""
        return [field.strip(" ") or None for field in self.fields or []]

    def fits(self, columns: int) -> bool:
        """Whether it has as many fields; empty ones too many at the end are overlooked."""
        return self.fields is not None and (
            len(self.fields) == columns or (len(self.fields) > columns and not any(self.fields[columns:]))
        )


def read(
    text: str,
    columns: int,
    *,
    delimiter: str = ",",
    quote: str = '"',
    header: bool = True,
    longest_lines: int = 100,
) -> tuple[list[Record], list[Record]]:
    """Records to keep, and records to refuse, below the header."""
    lines = text.removeprefix("\ufeff").split("\n")
    if lines[-1] == "":
        lines.pop()
    number = int(header)
    kept: list[Record] = []
    refused: list[Record] = []
    while number < len(lines):
        window = [line + "\n" for line in lines[number : number + longest_lines]]
        if columns > 1 and window[0] in ("\n", "\r\n"):
            number += 1
            continue
        fields, length = parse("".join(window), delimiter, quote)
        consumed = "".join(window)[:length].count("\n") if fields is not None else 1
        content = "".join(window[:consumed]).strip("\r\n")
        record = Record(number + 1, consumed, content, fields)
        (kept if record.fits(columns) else refused).append(record)
        number += consumed
    return kept, refused


def parse(text: str, delimiter: str, quote: str) -> tuple[list[str] | None, int]:
    """The fields of the record with which the text begins and its length; no fields where it has no end."""
    fields: list[str] = []
    place = 0
    while True:
        value, place = parse_field(text, place, delimiter, quote)
        if value is None:
            return None, 0
        fields.append(value)
        if text.startswith(delimiter, place):
            place += len(delimiter)
        elif text.startswith("\r\n", place):
            return fields, place + 2
        elif text.startswith("\n", place):
            return fields, place + 1
        else:
            return None, 0


def parse_field(text: str, place: int, delimiter: str, quote: str) -> tuple[str | None, int]:
    opening = place
    if quote and text.startswith(" ", place) and delimiter != " ":
        opening += 1
    if not quote or not text.startswith(quote, opening):
        end = place
        while not text.startswith((delimiter, "\n", "\r"), end):
            end += 1
        return text[place:end], end
    value, place = "", opening + 1
    while place < len(text):
        if text.startswith(quote * 2, place):
            value += quote
            place += 2
        elif text.startswith(quote, place):
            place += 1
            while text.startswith(" ", place) and delimiter != " ":
                place += 1
            return value, place
        else:
            value += text[place]
            place += 1
    return None, place
