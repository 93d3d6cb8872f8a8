"""Sections on structure, two stages, robustness and the published claims."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path

from crosslook.report.claims import (
    judge_advice,
    judge_claims,
    pair_distances,
    plain_recalls,
    rank_correlation,
)
from crosslook.report.sections import Part, Section, Table, definitions_of, measure_table
from crosslook.report.structure_figures import (
    disturbances,
    embedding_scatter,
    robustness_curves,
    similarity_map,
    two_stage_cost,
    two_stage_curves,
)
from crosslook.report.tables import interval, number
from crosslook.retrieval.run_folder import read_embeddings, read_heat_maps, read_patches
from crosslook.retrieval.thumbnails import read_thumbnails, shrink
from crosslook.types import Row

MOST_HOVERED = 1000


def claims_section(rows: Sequence[Row]) -> list[Section]:
    """Alignment beside retrieval, and whether the published claims hold."""
    claims = judge_claims(rows)
    if not claims:
        return []
    distance, recall = pair_distances(rows), plain_recalls(rows)
    lines = [
        [name, number(distance[name].value), interval(distance[name]), number(row.value),
         interval(row)]
        for name, row in recall.items()
        if name in distance
    ]  # fmt: skip
    columns = ["extractor", "distance of pairs", "95 %", "recall at 1, uncalibrated", "95 %"]
    table = Table(["claim", "verdict", "why"], [[c.text, c.verdict, c.why] for c in claims])
    rho = rank_correlation(rows)
    text = "" if math.isnan(rho) else f"Spearman rank correlation over extractors: {rho:.2f}."
    return [
        Section(
            "claims",
            "Alignment beside retrieval",
            "Distances are those of uncalibrated pairs, smaller is better aligned. Claims are "
            "judged among the pretrained models alone, by the difference of every two on the same "
            "pairs: decided only where its interval over units excludes zero. Baselines and "
            "untrained controls are shown beside them.",
            [Part(table=Table(columns, lines, {1, 2, 3, 4}), text=text), Part(table=table)],
        )
    ]


def structure_section(run: Path, rows: Sequence[Row]) -> list[Section]:
    """Embeddings, similarity maps and the structure rows."""
    if not any(row.measure == "structure" for row in rows):
        return []
    patches = read_patches(run)
    embeddings, parts = read_embeddings(run), []
    for name in dict.fromkeys(t.setup.extractor for t in embeddings):
        # UMAP after calibration comes first, since it is what most readers look for.
        own = sorted(
            (t for t in embeddings if t.setup.extractor == name),
            key=lambda t: (t.method != "umap", t.setup.calibration == "none"),
        )
        parts.append(Part(f"Embedding: {name}", figure=embedding_scatter(own, patches)))
    parts += [
        Part(
            f"Similarity between the sensors: {t.setup.extractor}, "
            f"calibration {t.setup.calibration}, ordered by {t.order_by}",
            figure=similarity_map(t),
        )
        for t in read_heat_maps(run)
    ]
    parts.append(Part("All structure rows", table=measure_table(rows, "structure")))
    how = (
        "A point is a patch, a line joins the two patches of a pair; hover shows both. "
        "Two separate clouds are sensors; clouds that mix are places. In the similarity "
        "maps a bright diagonal means that partners are alike."
    )
    definitions = definitions_of("structure", rows)
    return [Section("structure", "Structure", how, parts, definitions)]


def two_stage_section(rows: Sequence[Row]) -> list[Section]:
    """Recall over the length of the shortlist, and all rows."""
    own = [row for row in rows if row.measure == "two-stage"]
    if not own:
        return []
    parts = []
    for name in dict.fromkeys(row.extractor for row in own):
        mine = [r for r in own if r.extractor == name and r.direction == "sar->optical"]
        wanted = [r for r in mine if r.metric == "recommended-k"]
        text = f"Recommended shortlist: {wanted[0].value:.0f}." if wanted else ""
        title = f"{name}, SAR to optical"
        parts.append(Part(title, text=text, figure=two_stage_curves(mine)))
        parts.append(Part(f"{title}: recall over cost", figure=two_stage_cost(mine)))
    judged = [[c.text, c.verdict, c.why] for c in judge_advice(rows)]
    if judged:
        parts.insert(
            0, Part("The advice, judged", table=Table(["advice", "verdict", "why"], judged))
        )
    parts.append(Part("All two-stage rows", table=measure_table(rows, "two-stage")))
    how = (
        "A coarse shortlist of K candidates, then fine verification. The ceiling is the share "
        "of partners that the shortlist still holds; no verification can go beyond it. The advice "
        "is judged by paired differences over units at a length that the gallery fixes."
    )
    return [Section("two-stage", "Two stages", how, parts, definitions_of("two-stage", rows))]


def robustness_section(rows: Sequence[Row]) -> list[Section]:
    """A curve per disturbance, and all rows."""
    own = [row for row in rows if row.measure == "robustness"]
    if not own:
        return []
    parts = [
        Part(f"Recall by {name.replace('-', ' ')}", figure=robustness_curves(own, name))
        for name in disturbances(own)
    ]
    parts.append(Part("All robustness rows", table=measure_table(rows, "robustness")))
    how = (
        "Recall at 1 while the query is disturbed, everything else unchanged; bars are 95 % "
        "intervals. Dotted lines are extrapolated by a model, not measured."
    )
    return [Section("robustness", "Robustness", how, parts, definitions_of("robustness", rows))]


def hover_thumbnails(run: Path) -> dict[str, list[str]]:
    """Small images (SAR, optical) in base64 by patch index, for the embeddings."""
    wanted = sorted({int(i) for table in read_embeddings(run) for i in table.index})
    thumbnails = read_thumbnails(run) if wanted else {}
    return {
        str(i): [base64.b64encode(shrink(thumbnails[i][m])).decode() for m in ("sar", "optical")]
        for i in wanted[:MOST_HOVERED]
        if i in thumbnails
    }
