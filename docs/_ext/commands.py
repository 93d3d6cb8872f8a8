"""The directive ``commands``: the reference of the command line, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from crosslook.cli import Commands
from crosslook.cli import app as command_line


def walk(group: Commands, before: str = "crosslook") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name, in the order of the help."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, Commands):
            yield from walk(command, f"{before} {name}")
        elif command is not None:
            yield f"{before} {name}", command


class CommandPages(SphinxDirective):
    """One section per command: usage, what it does, arguments and options in a table."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Build the sections."""
        return [self._section(name, command) for name, command in walk(command_line)]

    def _section(self, name: str, command: click.Command) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(name)], names=[name])
        section += nodes.title(text=name)
        self.state.document.note_explicit_target(section)
        context = click.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        section += nodes.literal_block(text=f"{name} {usage}", language="text")
        for paragraph in (command.help or "").split("\n\n"):
            section += nodes.paragraph(text=" ".join(paragraph.split()))
        section += self._options(command, context)
        return section

    def _options(self, command: click.Command, context: click.Context) -> nodes.Element:
        lines: list[tuple[str, str]] = []
        for one in command.params:
            if isinstance(one, click.Argument):
                lines.append((one.make_metavar(context), getattr(one, "description", "")))
            elif (record := one.get_help_record(context)) is not None:
                lines.append(record)
        listed = nodes.definition_list(classes=["options"])
        for term, text in lines:
            item = nodes.definition_list_item()
            item += nodes.term("", "", nodes.literal(text=term))
            item += nodes.definition("", nodes.paragraph(text=text))
            listed += item
        return listed


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("commands", CommandPages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
