"""Register, locate and audit as Processing algorithms."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingOutputNumber,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputString,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)

from .command import NO_MATCH, run

Parameters = dict[str, Any]
_REAL = QgsProcessingParameterNumber.Type.Double
MODELS = ("auto", "similarity", "shift", "affine", "homography", "relief", "tps")


class _Algorithm(QgsProcessingAlgorithm):
    """What the three share: names, the folder of the results, further options."""

    NAME = TITLE = HELP = ""

    def name(self) -> str:
        return self.NAME

    def displayName(self) -> str:
        return self.TITLE

    def shortHelpString(self) -> str:
        return self.HELP

    def createInstance(self) -> _Algorithm:
        return type(self)()

    def _add_common(self) -> None:
        more = QgsProcessingParameterString(
            "OPTIONS", "Further options, as on the command line", optional=True
        )
        more.setFlags(more.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        self.addParameter(more)
        self.addParameter(QgsProcessingParameterFolderDestination("OUT", "Folder of the results"))

    def _raster(self, parameters: Parameters, name: str, context: Any) -> str:
        return str(self.parameterAsRasterLayer(parameters, name, context).source())

    def _more(self, parameters: Parameters, context: Any) -> list[str]:
        return shlex.split(self.parameterAsString(parameters, "OPTIONS", context) or "")

    def _out(self, parameters: Parameters, context: Any) -> Path:
        folder = Path(self.parameterAsString(parameters, "OUT", context))
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class _Match(_Algorithm):
    """What leaves a ``match.json``."""

    def _add_match_outputs(self) -> None:
        self.addParameter(
            QgsProcessingParameterBoolean(
                "FORCE", "Write the aligned image without a match too", defaultValue=False
            )
        )
        self._add_common()
        self.addOutput(QgsProcessingOutputString("VERDICT", "Verdict"))
        self.addOutput(QgsProcessingOutputNumber("CONFIDENCE", "Confidence"))
        self.addOutput(QgsProcessingOutputRasterLayer("ALIGNED", "Aligned SAR image"))
        self.addOutput(QgsProcessingOutputVectorLayer("TIE_POINTS", "Tie points"))
        self.addOutput(QgsProcessingOutputVectorLayer("FOOTPRINT", "Footprint"))

    def _finish(self, code: int, out: Path, context: Any, feedback: Any) -> dict[str, Any]:
        """Read ``match.json``, and let QGIS load what was written."""
        match = json.loads((out / "match.json").read_text(encoding="utf-8"))
        outputs = {
            "OUT": str(out), "VERDICT": match["verdict"], "CONFIDENCE": match["confidence"],
        }  # fmt: skip
        if code == NO_MATCH:
            confidence = match["confidence"]
            text = "not fitted" if confidence is None else f"{confidence:.2f}"
            feedback.reportError(f"{match['verdict']}, confidence {text}: look before you use it.")
        layers = {"ALIGNED": out / "aligned.tif", "TIE_POINTS": out / "tie_points.geojson"}
        ring = (match.get("footprint") or {}).get("lonlat")
        if ring:
            layers["FOOTPRINT"] = out / "footprint.geojson"
            layers["FOOTPRINT"].write_text(_polygon(ring, match), encoding="utf-8")
        titles = {
            "ALIGNED": f"aligned ({match['verdict']})",
            "TIE_POINTS": "tie points", "FOOTPRINT": "footprint",
        }  # fmt: skip
        for name, path in layers.items():
            if path.exists():
                outputs[name] = str(path)
                _load(context, path, titles[name], name)
        return outputs


class Register(_Match):
    """``crosslook register``."""

    NAME, TITLE = "register", "Register a SAR image on an optical one"
    HELP = (
        "Brings a SAR image onto an optical one of the same place. Where the georeference leads to "
        "no match, the whole overlap is searched; further options, as --rotation 90, say how far. "
        "Says how sure the answer is, and writes the aligned image where it is a match."
    )

    def initAlgorithm(self, configuration: Parameters | None = None) -> None:
        self.addParameter(QgsProcessingParameterRasterLayer("SAR", "SAR image"))
        self.addParameter(QgsProcessingParameterRasterLayer("OPTICAL", "Optical image"))
        self.addParameter(
            QgsProcessingParameterEnum("MODEL", "Transform", options=MODELS, defaultValue=0)
        )
        self._add_match_outputs()

    def processAlgorithm(
        self, parameters: Parameters, context: Any, feedback: Any
    ) -> dict[str, Any]:
        out = self._out(parameters, context)
        images = [self._raster(parameters, name, context) for name in ("SAR", "OPTICAL")]
        model = MODELS[self.parameterAsEnum(parameters, "MODEL", context)]
        force = ["--force"] if self.parameterAsBool(parameters, "FORCE", context) else []
        options = ["--out", out, "--model", model, *force, *self._more(parameters, context)]
        code = run(["register", *images, *options], feedback)
        return self._finish(code, out, context, feedback)


class Locate(_Match):
    """``crosslook locate``."""

    NAME, TITLE = "locate", "Locate a SAR image on an atlas"
    HELP = (
        "Finds where on an atlas (built with 'crosslook atlas build') a SAR image lies. An image "
        "without georeference needs the size of its pixels."
    )

    def initAlgorithm(self, configuration: Parameters | None = None) -> None:
        self.addParameter(QgsProcessingParameterRasterLayer("SAR", "SAR image"))
        self.addParameter(
            QgsProcessingParameterFile(
                "ATLAS", "Folder of the atlas", behavior=QgsProcessingParameterFile.Behavior.Folder
            )
        )
        for name, words in (
            ("GSD", "Size of a pixel in metres, for images without georeference"),
            ("ROTATION", "Rotation tried to either side, degrees"),
        ):
            self.addParameter(
                QgsProcessingParameterNumber(
                    name,
                    words,
                    QgsProcessingParameterNumber.Type.Double,
                    optional=True,
                    minValue=0.0,
                )
            )
        self._add_match_outputs()

    def processAlgorithm(
        self, parameters: Parameters, context: Any, feedback: Any
    ) -> dict[str, Any]:
        out = self._out(parameters, context)
        options = ["--atlas", self.parameterAsString(parameters, "ATLAS", context), "--out", out]
        for name in ("GSD", "ROTATION"):
            if parameters.get(name) is not None:
                value = self.parameterAsDouble(parameters, name, context)
                options += [f"--{name.lower()}", f"{value:g}"]
        force = ["--force"] if self.parameterAsBool(parameters, "FORCE", context) else []
        image = self._raster(parameters, "SAR", context)
        code = run(["locate", image, *options, *force, *self._more(parameters, context)], feedback)
        return self._finish(code, out, context, feedback)


class Audit(_Algorithm):
    """``crosslook audit``."""

    NAME, TITLE = "audit", "Audit the alignment of SAR and optical pairs"
    HELP = (
        "Measures the residual shift of every pair of a folder (sar/ and optical/ with files of "
        "equal names, or a public set), by two independent measures."
    )

    def initAlgorithm(self, configuration: Parameters | None = None) -> None:
        self.addParameter(
            QgsProcessingParameterFile(
                "PAIRS", "Folder of the pairs", behavior=QgsProcessingParameterFile.Behavior.Folder
            )
        )
        self._add_common()
        self.addOutput(QgsProcessingOutputVectorLayer("TABLE", "Shift of every scene"))
        self.addOutput(QgsProcessingOutputNumber("TRUSTED", "Scenes that are trusted"))

    def processAlgorithm(
        self, parameters: Parameters, context: Any, feedback: Any
    ) -> dict[str, Any]:
        out = self._out(parameters, context)
        pairs = self.parameterAsString(parameters, "PAIRS", context)
        run(["audit", pairs, "--out", out, *self._more(parameters, context)], feedback)
        table = out / "audit.csv"
        with table.open(encoding="utf-8", newline="") as file:
            trusted = sum(row["trusted"] == "1" for row in csv.DictReader(file))
        _load(context, table, "audit", "TABLE")
        return {"OUT": str(out), "TABLE": str(table), "TRUSTED": trusted}


def _load(context: Any, path: Path, title: str, name: str) -> None:
    """Let QGIS add a result to the project when the algorithm is done."""
    project = context.project()
    if project is not None:
        details = QgsProcessingContext.LayerDetails(title, project, name)
        context.addLayerToLoadOnCompletion(str(path), details)


def _polygon(ring: Sequence[Sequence[float]], match: dict[str, Any]) -> str:
    """The outline of the image as GeoJSON, which is in longitude and latitude."""
    values = {"verdict": match["verdict"], "confidence": match["confidence"]}
    shape = {"type": "Polygon", "coordinates": [[list(point) for point in ring]]}
    return json.dumps(
        {
            "type": "FeatureCollection",
            "features": [{"type": "Feature", "properties": values, "geometry": shape}],
        }
    )
