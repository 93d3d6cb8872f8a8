"""Run by the Python of QGIS: all three algorithms, and what they leave as QGIS sees it."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

from qgis.analysis import QgsGcpTransformerInterface
from qgis.core import (
    QgsApplication,
    QgsPointXY,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)

plugin, work = sys.argv[1], Path(sys.argv[2])
sys.path[:0] = [plugin, "/usr/share/qgis/python/plugins"]
app = QgsApplication([], False)
app.initQgis()

from processing.core.Processing import Processing  # noqa: E402

Processing.initialize()

from crosslook_qgis import classFactory  # noqa: E402

extension = classFactory(None)  # QGIS keeps it alive, as we must
extension.initProcessing()
provider = QgsApplication.processingRegistry().providerById("crosslook")
listed: dict[str, Any] = {"algorithms": sorted(one.name() for one in provider.algorithms())}


class Watched(QgsProcessingFeedback):
    """Feedback that keeps how far it was told to be."""

    def __init__(self) -> None:
        super().__init__(False)
        self.heard: list[float] = []
        self.progressChanged.connect(self.heard.append)


def run(name: str, parameters: dict[str, str]) -> tuple[dict[str, Any], list[float]]:
    context, feedback = QgsProcessingContext(), Watched()
    context.setProject(QgsProject.instance())
    algorithm = provider.algorithm(name)
    outputs, fine = algorithm.run(parameters, context, feedback)
    if not fine:
        raise SystemExit(feedback.textLog())
    loaded = context.layersToLoadOnCompletion()
    outputs["loaded"] = sorted(details.outputName for details in loaded.values())
    return outputs, feedback.heard


def georeferenced(points: Path) -> float:
    """Mean distance in pixels of the points after a transform of the georeferencer's own."""
    lines = [line for line in Path(points).read_text().splitlines() if not line.startswith("#")]
    rows = [row for row in csv.DictReader(lines) if row["enable"] == "1"]
    source = [QgsPointXY(float(r["sourceX"]), float(r["sourceY"])) for r in rows]
    target = [QgsPointXY(float(r["mapX"]), float(r["mapY"])) for r in rows]
    method = QgsGcpTransformerInterface.TransformMethod.PolynomialOrder1
    transformer = QgsGcpTransformerInterface.createFromParameters(method, source, target)
    off: list[float] = []
    for at, to in zip(source, target, strict=True):
        _, x, y = transformer.transform(at.x(), at.y())
        off.append(((x - to.x()) ** 2 + (y - to.y()) ** 2) ** 0.5 / 10.0)
    return sum(off) / len(off)


pairs = work / "pairs"
outputs, _ = run("register", {
    "SAR": str(pairs / "sar/sim-0000.tif"), "OPTICAL": str(pairs / "optical/sim-0000.tif"),
    "OUT": str(work / "registered"),
})  # fmt: skip
layer = QgsRasterLayer(outputs["ALIGNED"], "aligned")
outputs["aligned"] = {
    "valid": layer.isValid(), "crs": layer.crs().authid(), "size": [layer.width(), layer.height()],
}  # fmt: skip
outputs["points"] = QgsVectorLayer(outputs["TIE_POINTS"], "points", "ogr").featureCount()
outputs["georeferenced_px"] = georeferenced(work / "registered" / "tie_points.points")
listed["register"] = outputs
listed["locate"], _ = run("locate", {
    "SAR": str(pairs / "sar/sim-0001.tif"), "ATLAS": str(work / "atlas"),
    "OUT": str(work / "located"),
})  # fmt: skip
outputs, progress = run("audit", {"PAIRS": str(pairs), "OUT": str(work / "audited")})
table = QgsVectorLayer(outputs["TABLE"], "audit", "ogr")
listed["audit"] = {"scenes": table.featureCount(), "progress": progress}

os.environ["CROSSLOOK_COMMAND"] = str(work / "nowhere")
feedback = Watched()
provider.algorithm("audit").run(
    {"PAIRS": str(pairs), "OUT": str(work / "no")}, QgsProcessingContext(), feedback
)
listed["without a command"] = feedback.textLog()
print(json.dumps(listed))
os._exit(0)  # QGIS without a window tends to fall over its own end
