"""The group of each scene of a folder, where a table beside the images says it."""

from __future__ import annotations

from pathlib import Path

from crosslook.errors import InputError

TABLES = ("groups.csv", "scenes.csv")
COLUMNS = ("group", "tile", "region")


def read_groups(folder: Path) -> dict[str, str]:
    """Read ``groups.csv`` or ``scenes.csv`` of a folder of pairs.

    The table has a column ``scene`` (the stem of the files) and one of
    ``group``, ``tile``, ``region``; the first of them that is there counts.

    Returns
    -------
    dict of str to str
        Group per scene; empty where no table names groups. A scene that the
        table does not list is a group of its own.

    Raises
    ------
    InputError
        If a table is there but cannot be read as CSV.
    """
    import pyarrow as pa
    from pyarrow import csv

    for name in TABLES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                table = csv.read_csv(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path} is not a CSV table: {error}.") from error
        column = next((column for column in COLUMNS if column in table.column_names), None)
        if column is None or "scene" not in table.column_names:
            continue
        scenes, groups = table["scene"].to_pylist(), table[column].to_pylist()
        return {
            str(scene): str(group)
            for scene, group in zip(scenes, groups, strict=True)
            if group is not None
        }
    return {}
