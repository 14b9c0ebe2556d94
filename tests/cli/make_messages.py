"""Writes an invented Spanish file of 1,500 support messages. Run: python tests/cli/make_messages.py FOLDER.

Semicolons, a byte-order mark, quotes, line breaks in cells, `x` for a label and blanks: as a spreadsheet saves it.
"""

from __future__ import annotations

import csv
import io
import random
import sys
from pathlib import Path

LABELS = ("enfado", "alegría", "preocupación", "gratitud", "tristeza")
PHRASES = {
    "enfado": ("es una vergüenza", "estoy harto de esperar", "esto no se puede permitir", "quiero poner una queja"),
    "alegría": ("¡qué bien funciona!", "estoy muy contenta", "me alegra mucho", "¡por fin ha llegado!"),
    "preocupación": ("no sé qué hacer", "temo perder mis datos", "me preocupa la factura", "¿y si no llega a tiempo?"),
    "gratitud": ("muchas gracias por la ayuda", "les agradezco la atención", "gracias por responder tan rápido"),
    "tristeza": ("es una pena", "me entristece dejar el servicio", "me siento decepcionada"),
}
SUBJECTS = (
    "el pedido",
    "la factura",
    "mi cuenta",
    "el técnico",
    "la aplicación",
    "el paquete",
    "la línea",
    "el contrato",
)
OPENINGS = ("Buenos días", "Hola", "Les escribo otra vez", "Una consulta", "Sobre lo de ayer")
ROWS = 1500


def rows() -> list[list[str]]:
    """The header and the rows: id, channel, message, and ``x`` or nothing for each label."""
    draw = random.Random(7)
    table = [["id", "canal", "mensaje", *LABELS]]
    for number in range(ROWS):
        felt = [label for label in LABELS if draw.random() < 0.3]
        place = "\n" if number % 9 == 0 else " "
        words = [f"{draw.choice(OPENINGS)}:", f"con {draw.choice(SUBJECTS)} del {draw.randint(1, 28)} de mayo"]
        words += [draw.choice(PHRASES[label]) for label in felt] or ["solo quería saber cómo va"]
        message = f"{words[0]}{place}{'; '.join(words[1:])}."
        if number % 11 == 0:
            message = f'Me dijeron "mañana" y nada. {message}'
        marks = ["x" if label in felt else "" for label in LABELS]
        table.append([f"T-{number:05}", draw.choice(("correo", "teléfono", "chat")), message, *marks])
    for number in range(40):  # the same message, of which every fourth has other labels
        original = table[1 + number * 10]
        marks = original[3:] if number % 4 else ["" if mark else "x" for mark in original[3:]]
        table[-1 - number][2:] = [original[2], *marks]
    return table


def as_csv() -> str:
    """The file as text, with two blank rows and a column without a name or content."""
    content = io.StringIO(newline="")
    writer = csv.writer(content, delimiter=";", lineterminator="\r\n")
    for number, row in enumerate(rows()):
        writer.writerow([*row, ""])
        if number in (300, 900):
            writer.writerow([""] * (len(row) + 1))
    return content.getvalue()


def write(path: Path, encoding: str = "utf-8-sig") -> Path:
    """Write the file as text in an encoding, or as a workbook where its suffix is ``.xlsx``."""
    if path.suffix == ".xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        for row in rows():
            book.active.append([cell or None for cell in row])
        book.save(path)
    else:
        path.write_bytes(as_csv().encode(encoding))
    return path


if __name__ == "__main__":
    write(Path(sys.argv[1]) / "mensajes.csv")
