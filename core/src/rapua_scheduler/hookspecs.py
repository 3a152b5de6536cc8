"""The hooks that a plugin may implement; all there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pluggy

from rapua_scheduler.events import Event
from rapua_scheduler.job import Job
from rapua_scheduler.site import Site

GROUP = "rapua_scheduler"
"""The entry-point group that plugins are found in, and the name of the pluggy project."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def register_jobs(settings: Mapping[str, object], site: Site) -> Iterable[Job]:  # type: ignore[empty-body]
    """Declare the jobs that this plugin brings.

    Called: once per plugin while the host starts, on the main thread, before any job runs;
    implementations may leave out arguments they do not need. Hook wrappers are refused.

    Args:
        settings: The plugin's own table of the configuration, `[rapua_scheduler.plugins.<name>]`;
            empty if it has none. Annotate it with an attrs class to receive an instance of that
            class instead, its fields converted and checked.
        site: The web site the jobs work on.

    Returns:
        The jobs; keys must be unique among all plugins.

    On error: the host sets this plugin aside, reports it, and starts the others.
    """


@hookspec
def on_event(event: Event) -> None:
    """Observe something that has happened.

    Called: after the fact is stored, in a thread of this plugin's own, one event at a time, oldest
    first. An observer that is too slow loses events (counted and logged), and delays nobody.

    Args:
        event: One of the classes of `rapua_scheduler.Event`; ignore those you do not know.

    On error: logged; the observer is told of the next event all the same.
    """
