"""The tab Tree: the freeze plan, the module tree with its toggles, and a module's details."""

from __future__ import annotations

from typing import Any

from archspec.errors import Problem, UsageError
from archspec.lang.schema import FreezePlan
from archspec.report.numbers import format_count
from archspec_app.component import hint, view
from archspec_app.details import details_data
from archspec_app.event_binding import EventBinder
from archspec_app.events import MAX_MODULE_PATH, Event, flag_of, number_of, text_of
from archspec_app.framework import LISTENER
from archspec_app.session import Session
from archspec_app.tree import tree_data

NO_PLAN = "none: everything is trained"
MAX_ROWS = 200
"""That one click may freeze or unfreeze."""


def build(binder: EventBinder) -> None:
    hint(
        "Click a snowflake to freeze a module or to train it:"
        " the plan in the text changes with it.",
        "Select several rows with Ctrl or Shift.",
    )
    tree = view("tree", label="Modules", elem_id="tree")
    details = view("details", label="Details", elem_id="details")
    binder.add_outputs([tree], _render)
    for name, act in ("toggle", _toggle), ("plan", choose_plan), ("save_plan", _save_plan):
        binder.listen(tree, name, act)
    select = binder.on_query(_select, _failed, replaceable=True)
    details.select_module(select, [], [details], **LISTENER)


def _select(session: Session, event: Event) -> dict[str, Any]:
    session.selected = text_of(event.data, "node", MAX_MODULE_PATH)
    details = details_data(session.built, session.selected) if session.built else {}
    return {**details, "open_file": session.file}


def _failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"open_file": session.file, "error": problem}


def _render(session: Session) -> list[Any]:
    built = session.built
    if built is None:
        return [{"kinds": [], "plans": plan_choices(session), "plan": None}]
    plans = {"plans": plan_choices(session), "plan": session.plan}
    return [{**tree_data(built), **plans, "file": session.file}]


def _toggle(session: Session, data: dict[str, Any]) -> None:
    rows, frozen = rows_of(data), flag_of(data, "frozen")
    session.toggle(rows, frozen=frozen)
    built, plan = session.built, session.plan
    if built is None or plan is None:
        return
    if not built.plans[plan].gradients:
        session.notice = f"the plan {plan} has gradients: false and freezes no parameters"
        return
    names = ", ".join(path or "the whole model" for path, _ in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    trainable = format_count(built.inspection.trainable.value)
    done = "froze" if frozen else "unfroze"
    session.notice = f"{done} {names}{more} in the plan {plan}: {trainable} parameters are trained"


def rows_of(data: dict[str, Any]) -> list[tuple[str, int]]:
    """The rows of the tree that an event is about: paths, and how many modules from each on.

    Raises:
        UsageError: E801, they are not a list of such rows.
    """
    rows = data.get("rows")
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_ROWS:
        raise UsageError(Problem("E801", f"invalid event: 'rows' are 1 to {MAX_ROWS} rows"))
    return [
        (text_of(row, "node", MAX_MODULE_PATH), number_of(row, "count", 1, minimum=1))
        for row in (row if isinstance(row, dict) else {} for row in rows)
    ]


def plan_choices(session: Session) -> list[dict[str, str]]:
    """The freeze plans to choose from: names, each with what the plan does.

    The first one, named "", is no plan at all. A plan of the spec that freezes nothing does the
    same, unless an adapter brings a plan of its own, and is left out. Those that the spec itself
    has come before those of its parents.
    """
    built = session.built
    if built is None:
        return [{"name": "", "label": NO_PLAN}]
    adapters = built.spec.architecture.adapters
    label = f"{NO_PLAN}, or what the adapter says" if adapters else NO_PLAN
    is_inherited = built.spec.document.is_inherited
    names = sorted(built.plans, key=lambda name: is_inherited(("freeze", name)))
    return [{"name": "", "label": label}] + [
        {"name": name, "label": f"{name}: {describe_plan(built.plans[name])}"}
        for name in names
        if built.plans[name].patterns or adapters or name == session.plan
    ]


def describe_plan(plan: FreezePlan) -> str:
    """What a plan freezes, or what it trains where that is shorter to say."""
    first, *rest = plan.patterns or [""]
    trained = [pattern.removeprefix("!") for pattern in rest if pattern.startswith("!")]
    if not plan.gradients:
        return "freezes no parameters"
    if not first:
        return "everything is trained"
    if first == "**" and len(trained) == len(rest):
        return f"only {', '.join(trained)} trained" if trained else "nothing is trained"
    return f"freezes {', '.join(plan.patterns)}"


def choose_plan(session: Session, data: dict[str, Any]) -> None:
    """Choose the freeze plan of the page; "" for none."""
    session.change(plan=text_of(data, "plan") or None)


def _save_plan(session: Session, data: dict[str, Any]) -> None:
    name = text_of(data, "plan").strip()
    if not name:
        raise UsageError(Problem("E801", "enter a name for the plan"))
    session.save_plan(name)
    session.notice = f"added the plan {name} to the text"
