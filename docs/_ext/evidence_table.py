"""The directives ``evidence`` and ``vetoes``: terms, weights and rules, from the code."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from crosslook.match.evidence import TERMS, VETOES, Evidence, Term, Veto, fitted_values

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


VETO_HEAD = (
    "veto",
    "holds where",
    "confidence at most, initial",
    "expanded",
    "requested",
    "locate",
)
SEARCHES = ("initial", "expanded", "requested", "atlas")


def cells_of(term: Term) -> tuple[str, ...]:
    """One row: name, meaning, form and weights; empty where a verdict does not take it."""
    said = ModuleAnalyzer.for_module(Evidence.__module__).find_attr_docs()
    meaning = " ".join(said["Evidence", term.name]).strip()
    values = fitted_values()
    weights = (
        *(values[search]["weight"] for search in SEARCHES),
        values["error"]["95"]["weight"],
    )
    forms = {form.text: None for form in term.forms.values()}
    numbers = [f"{w[term.name]:.2f}" if term.name in w else "" for w in weights]
    return (term.name, meaning, "; ".join(forms), *numbers)


def veto_cells_of(veto: Veto) -> tuple[str, ...]:
    """One row: name, rule and what is left of the confidence of a match in each search."""
    values = fitted_values()
    return (veto.name, veto.when, *(f"{values[s]['vetoed']['match']:.2f}" for s in SEARCHES))


class EvidenceTable(SphinxDirective):
    """All terms of the evidence in one table, in their order in ``match.json``."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        rows = [cells_of(term) for term in TERMS]
        return [_table(HEAD, rows, (18, 40, 14, 8, 8, 8, 8, 8))]


class VetoTable(SphinxDirective):
    """All vetoes in one table."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        rows = [veto_cells_of(veto) for veto in VETOES]
        return [_table(VETO_HEAD, rows, (14, 40, 10, 10, 10, 10))]


def _table(
    names: tuple[str, ...], rows: list[tuple[str, ...]], widths: tuple[int, ...]
) -> nodes.table:
    table, group = nodes.table(classes=["evidence"]), nodes.tgroup(cols=len(names))
    group += [nodes.colspec(colwidth=width) for width in widths]
    head, body = nodes.thead(), nodes.tbody()
    head += _row(names)
    body += [_row(cells, code=True) for cells in rows]
    group += [head, body]
    table += group
    return table


def _row(cells: tuple[str, ...], *, code: bool = False) -> nodes.row:
    row = nodes.row()
    for number, text in enumerate(cells):
        shown = nodes.literal(text=text) if code and number == 0 else nodes.Text(text)
        row += nodes.entry("", nodes.paragraph("", "", shown))
    return row


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directives."""
    app.add_directive("evidence", EvidenceTable)
    app.add_directive("vetoes", VetoTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
