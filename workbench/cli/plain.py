"""What all commands share: errors as one sentence, and the option that says where to compute."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from workbench.errors import WorkbenchError

Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu or cuda.")]


class OneSentence(TyperGroup):
    """Shows what a user can mend as one sentence, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except WorkbenchError as error:
            typer.echo(f"error: {error}", err=True)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None
        raise typer.Exit(2)
