"""``crosslook study`` and ``crosslook demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crosslook.errors import SettingError

Text = str | None
Number = float | None
Count = int | None
Place = Path | None


def study(
    pairs: Annotated[
        Text, typer.Argument(help="Folder, CSV or Parquet table, or public set.")
    ] = None,
    out: Annotated[Place, typer.Option(help="Folder for rows, figures and the report.")] = None,
    extractors: Annotated[
        Text, typer.Option(help="Comma-separated specs, as raw,hog:cell=8.")
    ] = None,
    config: Annotated[Place, typer.Option(help="YAML run file; options typed here win.")] = None,
    layout: Annotated[Text, typer.Option(help="Name of a public set's layout, or auto.")] = None,
    patch: Annotated[Count, typer.Option(help="Side of a patch in pixels [256].")] = None,
    stride: Annotated[Count, typer.Option(help="Pixels between patches [the patch].")] = None,
    sar: Annotated[Text, typer.Option(help="SAR radiometry, as scale=decibel,clip=-25:0.")] = None,
    optical: Annotated[Text, typer.Option(help="Optical radiometry, as bands=4:3:2.")] = None,
    max_invalid: Annotated[
        Number, typer.Option(help="Drop patches above this invalid share [0.05].")
    ] = None,
    alignment: Annotated[Place, typer.Option(help="CSV of shifts: scene, row, col.")] = None,
    pooling: Annotated[
        Text, typer.Option(help="auto, flatten, grid:N, mean, gem or vector.")
    ] = None,
    calibrations: Annotated[Text, typer.Option(help="Of none,center,standardize,whiten.")] = None,
    scorings: Annotated[Text, typer.Option(help="Of cosine,csls,inverted-softmax.")] = None,
    index: Annotated[
        Text, typer.Option(help="Search of the gallery: exact, hnsw or ivf-pq [exact].")
    ] = None,
    calibration_share: Annotated[
        Number, typer.Option(help="Share of scenes set aside [0.2].")
    ] = None,
    split: Annotated[Text, typer.Option(help="held-out, transductive or both.")] = None,
    split_by: Annotated[Text, typer.Option(help="Unit never divided: scene or group.")] = None,
    tolerance: Annotated[
        Number, typer.Option(help="A neighbour this near counts, px [patch/2].")
    ] = None,
    draws: Annotated[Count, typer.Option(help="Bootstrap draws [1000].")] = None,
    seed: Annotated[Count, typer.Option(help="Seed of every draw [0].")] = None,
    device: Annotated[Text, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    dtype: Annotated[Text, typer.Option(help="float32, bfloat16 or float16.")] = None,
    batch_size: Annotated[Count, typer.Option(help="Images per step [fitted].")] = None,
    weights: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER, repeatable.")] = None,
    skip_missing: Annotated[
        bool | None, typer.Option("--skip-missing", help="Leave out models without weights.")
    ] = None,
    store: Annotated[Text, typer.Option(help="Feature store [OUT/features].")] = None,
    engine: Annotated[Text, typer.Option(help="Where features are made: local or ray.")] = None,
    workers: Annotated[Count, typer.Option(help="Actors of the ray engine [2].")] = None,
    ray_address: Annotated[Text, typer.Option(help="A running Ray cluster [a local one].")] = None,
    structure: Annotated[bool | None, typer.Option(help="Measure the feature space.")] = None,
    two_stage: Annotated[Text, typer.Option(help="COARSE+FINE, comma-separated.")] = None,
    fusion: Annotated[Text, typer.Option(help="A+B[+C], comma-separated.")] = None,
    robustness: Annotated[
        bool | None, typer.Option("--robustness", help="Curves over offset, rotation ...")
    ] = None,
) -> None:
    """Measure how well extractors match SAR and optical patches."""
    typed = {k: v for k, v in locals().items() if v is not None and k not in ("config", "weights")}
    from crosslook.report.study import study_and_report
    from crosslook.retrieval.settings import make_settings, read_config

    values: dict[str, Any] = read_config(config) if config else {}
    values.update(typed)
    if weights:
        values["weights"] = _folders(weights)
    for name, what in (("pairs", "PAIRS"), ("out", "--out RUN")):
        if name not in values:
            raise SettingError(f"{what} is missing; see 'crosslook study --help'.")
    study_and_report(make_settings(values))


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the synthetic pairs and the run.")] = Path(
        "demo-run"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the simulator.")] = 0,
) -> None:
    """Simulate pairs, study them and write a report: no data or weights needed."""
    from crosslook.report.study import run_demo

    run_demo(out, seed)


def _folders(typed: list[str]) -> dict[str, Path]:
    folders = {}
    for text in typed:
        name, equals, folder = text.partition("=")
        if not equals or not name or not folder:
            raise SettingError(f"--weights {text}: write NAME=FOLDER, as dinov2=/data/dinov2-base.")
        folders[name] = Path(folder)
    return folders
