"""A terminal's screen: bytes in, rows of coloured characters out, as a person would see them."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|\x1b\[\?[0-9]+[hl]|(\r|\n|\x08|\x07)|([^\x1b])")


@dataclass(frozen=True, slots=True)
class Cell:
    """One character and the codes that were set when it was written (SGR)."""

    text: str
    style: frozenset[str] = frozenset()


class Screen:
    """Follows what programs of ours write, and scrolls without end.

    Args:
        width: columns.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._cells: list[list[Cell]] = [[]]
        self._row = self._column = 0
        self._style: frozenset[str] = frozenset()

    @property
    def rows(self) -> list[str]:
        """The text of each row."""
        return ["".join(cell.text for cell in row).rstrip() for row in self._cells]

    @property
    def cells(self) -> list[list[Cell]]:
        """Each row's characters."""
        return self._cells

    def feed(self, data: str) -> None:
        """Take what a program wrote."""
        for codes, command, control, text in _TOKEN.findall(data):
            if command:
                self._command(codes, command)
            elif control:
                self._control(control)
            elif text:
                self._put(text)

    def _command(self, codes: str, command: str) -> None:
        if command == "m":
            asked = set(codes.split(";")) - {"", "0"}
            self._style = frozenset() if codes in {"", "0"} else self._style | asked
        elif command == "A":
            self._row = max(0, self._row - int(codes or 1))
        elif command == "J":
            del self._cells[self._row + 1 :]
            del self._cells[self._row][self._column :]
        else:
            raise AssertionError(f"an escape that this screen does not know: {codes}{command}")

    def _control(self, control: str) -> None:
        if control == "\r":
            self._column = 0
        elif control == "\n":
            self._down()
        elif control == "\x08":
            self._column = max(0, self._column - 1)

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._cells):
            self._cells.append([])

    def _put(self, text: str) -> None:
        if self._column == self._width:
            self._down()
            self._column = 0
        row = self._cells[self._row]
        row += [Cell(" ")] * (self._column - len(row))
        row[self._column : self._column + 1] = [Cell(text, self._style)]
        self._column += 1
