"""Lines to copy for each command; its help ends with them."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("crosslook demo", "pairs simulated, studied, and a report of it"),
        ("crosslook register sar.tif optical.tif -o out", "one image onto another"),
        ("crosslook explore --demo", "all of it on a local page"),
    ),
    "study": (
        ("crosslook study pairs -o run", "a folder with sar/ and optical/, two extractors"),
        (
            "crosslook study pairs -o run --extractors dinov2,sam2 --limit-scenes 50",
            "two models on 50 scenes",
        ),
        (
            "crosslook study pairs -o run --two-stage hog:grid=8+hog:cell=8,ks=5:20,radius=16",
            "a shortlist, then verification",
        ),
    ),
    "demo": (("crosslook demo -o demo", "simulated pairs, a study and its report in demo/"),),
    "simulate": (
        ("crosslook simulate -o pairs --count 20", "20 aligned pairs"),
        (
            "crosslook simulate -o off --count 1 --shift 12 -8 --rotation 1.5",
            "one pair that is 12 rows down and 8 columns left, and rotated",
        ),
    ),
    "extractors": (
        ("crosslook extractors", "all extractors"),
        ("crosslook extractors dinov2", "the options of one"),
    ),
    "atlas build": (
        ("crosslook atlas build basemap.tif -o atlas", "one image made searchable"),
        ("crosslook atlas build tiles/ -o atlas --resolution 10", "a folder of them, at 10 m"),
    ),
    "atlas info": (("crosslook atlas info atlas", "area, grid, extractors and date"),),
    "locate": (
        ("crosslook locate sar.tif --atlas atlas -o out", "where it lies"),
        ("crosslook locate chip.png --atlas atlas -o out --gsd 10", "a plain image of 10 m pixels"),
        (
            "crosslook locate *.tif --atlas atlas -o out --rotation 180",
            "many, in any orientation",
        ),
    ),
    "plan": (("crosslook plan 357000", "time, memory and storage for so many square kilometres"),),
    "register": (
        ("crosslook register sar.tif optical.tif -o out", "one pair"),
        (
            "crosslook register sar.tif optical.tif -o out --rotation 180 --scale 0.5:2",
            "where rotation and scale are not known",
        ),
        ("crosslook register pairs -o out", "a folder of pairs, with a table and a page of all"),
        ("crosslook register sar.tif optical.tif -o out --dem heights.tif", "over hills"),
    ),
    "apply": (
        ("crosslook apply out/match.json vh.tif mask.tif -o moved", "other bands and masks"),
        ("crosslook apply out/match.json vh.tif -o moved --grid optical", "on optical pixels"),
    ),
    "audit": (("crosslook audit pairs -o audit", "whether the pairs are aligned"),),
    "weights status": (("crosslook weights status", "what is here, sizes and licences"),),
    "weights fetch": (("crosslook weights fetch dinov2", "the weights of one model"),),
    "weights check": (
        ("crosslook weights check dinov2", "whether a model here works as it should"),
    ),
    "matchers": (("crosslook matchers", "what finds tie points, and which needs weights"),),
    "trial": (("crosslook trial pairs -o trial", "how exactly each matcher registers"),),
    "verdict fit": (
        ("crosslook verdict fit trial --matcher NAME -o verdict.json", "of one matcher"),
    ),
    "weights where": (("crosslook weights where dinov2", "the folder where they lie"),),
    "report": (("crosslook report run", "report and figures again, from the rows"),),
    "explore": (
        ("crosslook explore --demo", "try it on simulated data"),
        ("crosslook explore atlas run out", "an atlas, a study and matches"),
    ),
    "compare": (("crosslook compare run-a run-b", "which differences hold"),),
    "export": (("crosslook export run --to table", "descriptors as GeoParquet"),),
    "leaderboard": (("crosslook leaderboard run-a run-b", "several runs in one table"),),
}
"""By the name of the command, without ``crosslook``; of each a line and what it does."""
