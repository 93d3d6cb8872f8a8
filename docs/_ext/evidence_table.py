"""The directive ``evidence``: the table of terms, their weights and sentences, from the code."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from crosslook.match.evidence import TERMS, Evidence, Term, fitted_values

HEAD = (
    "term",
    "what it is",
    "as taken",
    "weight in initial",
    "in expanded",
    "in requested",
    "in locate",
    "in the error bound",
)


def cells_of(term: Term) -> tuple[str, ...]:
    """One row: name, meaning, form and weights; empty where a verdict does not take it."""
    said = ModuleAnalyzer.for_module(Evidence.__module__).find_attr_docs()
    meaning = " ".join(said["Evidence", term.name]).strip()
    values = fitted_values()
    weights = (
        *(values[search]["weight"] for search in ("initial", "expanded", "requested", "atlas")),
        values["error"]["95"]["weight"],
    )
    forms = {form.text: None for form in term.forms.values()}
    numbers = [f"{w[term.name]:.2f}" if term.name in w else "" for w in weights]
    return (term.name, meaning, "; ".join(forms), *numbers)


class EvidenceTable(SphinxDirective):
    """All terms of the evidence in one table, in their order in ``match.json``."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        table, group = nodes.table(classes=["evidence"]), nodes.tgroup(cols=len(HEAD))
        group += [nodes.colspec(colwidth=width) for width in (18, 40, 14, 8, 8, 8, 8, 8)]
        head, body = nodes.thead(), nodes.tbody()
        head += _row(HEAD)
        body += [_row(cells_of(term), code=True) for term in TERMS]
        group += [head, body]
        table += group
        return [table]


def _row(cells: tuple[str, ...], *, code: bool = False) -> nodes.row:
    row = nodes.row()
    for number, text in enumerate(cells):
        shown = nodes.literal(text=text) if code and number == 0 else nodes.Text(text)
        row += nodes.entry("", nodes.paragraph("", "", shown))
    return row


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("evidence", EvidenceTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
