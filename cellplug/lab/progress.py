"""What people see meanwhile: how far it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from collections.abc import Iterator
from typing import TextIO

import rich.console
import rich.live
import rich.progress
import rich.text

from cellplug.lab import breakroom
from cellplug.lab import screen_live

_FRAMES = 8
"""How often in a second the break room is drawn."""


@contextlib.contextmanager
def shown_on(stream: TextIO) -> Iterator[breakroom.Progress]:
    """A line that is gone afterwards, if the stream is a terminal."""
    console = rich.console.Console(file=stream)
    bar = rich.progress.Progress(
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn('{task.description}'),
        rich.progress.BarColumn(bar_width=30),
        _Count(),
        rich.progress.TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # The lab prints when it is done, and never meanwhile.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        yield _Progress(bar)


class _Count(rich.progress.MofNCompleteColumn):
    """Says nothing where nobody knows how much there is to do."""

    def render(self, task: rich.progress.Task) -> rich.text.Text:
        if task.total is None:
            return rich.text.Text()
        return super().render(task)


class _Progress:
    def __init__(self, bar: rich.progress.Progress) -> None:
        self._bar = bar
        self._task: rich.progress.TaskID | None = None

    def phase(self, title: str, total: int | None = None) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total)

    def step(self) -> None:
        if self._task is not None:
            self._bar.advance(self._task)

    @contextlib.contextmanager
    def watched(self, tell: Callable[[], breakroom.Story]) -> Iterator[None]:
        console = self._bar.console
        if not console.is_terminal:
            yield
            return
        # There can be one live display at a time.
        self._bar.stop()
        try:
            with rich.live.Live(
                console=console,
                get_renderable=lambda: screen_live.live(console, tell()),
                refresh_per_second=_FRAMES,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            ):
                yield
        finally:
            self._bar.start()
