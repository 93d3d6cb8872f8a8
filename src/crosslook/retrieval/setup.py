"""A setup: one extractor, and everything that is done to its features before they are compared."""

from __future__ import annotations

from dataclasses import dataclass, field

from crosslook.types import Metric, Row

CHOSEN = "chosen"
"""Calibration and scoring of the rows that repeat those of the chosen setup."""


@dataclass(frozen=True)
class Setup:
    """One way to compare the two modalities.

    Attributes
    ----------
    extractor : str
        Its spec; the text of a fusion or of two stages is one too.
    pooling, calibration, scoring : str
        How a feature map becomes a descriptor, how the modalities are brought
        together, and the score that ranks.
    split : str
        ``held-out`` or ``transductive``; empty where the split is not known.
    revision : str
        Of the weights. Two setups of one run never differ by it alone, so it is
        not compared.
    """

    extractor: str
    pooling: str = ""
    calibration: str = "none"
    scoring: str = "cosine"
    split: str = ""
    revision: str = field(default="", compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether nothing is calibrated or corrected."""
        return self.calibration == "none" and self.scoring == "cosine"

    @property
    def how(self) -> str:
        """The comparison in words."""
        if self.calibration == CHOSEN:
            return "chosen on the calibration set"
        return "uncalibrated" if self.is_plain else f"{self.calibration}, {self.scoring}"

    @property
    def family(self) -> tuple[str, str, str]:
        """What setups must share to be alternatives: extractor, pooling and split."""
        return self.extractor, self.pooling, self.split

    @property
    def name(self) -> str:
        """The extractor, with the weights of a fusion."""
        fused = self.pooling.startswith("fusion")
        return f"{self.extractor}, {self.pooling}" if fused else self.extractor

    def row(self, dataset: str, metric: Metric) -> Row:
        """Set a metric of this setup into a row."""
        return Row(
            dataset=dataset,
            extractor=self.extractor,
            revision=self.revision,
            pooling=self.pooling,
            calibration=self.calibration,
            scoring=self.scoring,
            split=self.split,
            measure=metric.measure,
            direction=metric.direction,
            metric=metric.metric,
            k=metric.k,
            value=metric.estimate.value,
            ci_low=metric.estimate.low,
            ci_high=metric.estimate.high,
            n_query=metric.n_query,
            n_gallery=metric.n_gallery,
            chance=metric.chance,
        )


def setup_of(row: Row) -> Setup:
    """The setup that a row belongs to."""
    return Setup(row.extractor, row.pooling, row.calibration, row.scoring, row.split, row.revision)
