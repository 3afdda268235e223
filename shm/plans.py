"""
How the cells of many areas come together in the samples of one family.

That takes longer than to add them up, and is the same from one scrape to the
next unless a label set or a worker was born; so it is worked out once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

import msgspec

from penstock.shm.keylog import Family, Key
from penstock.shm.readings import DecodedKeys, Source
from penstock.shm.values import REMOVED


@dataclass(slots=True)
class Child:
    """One label set of a family: its samples' places in the totals, or in the list of contributions."""

    labels: dict[str, str]
    places: list[tuple[str, dict[str, str], int]] = field(default_factory=list)
    bounds: list[tuple[float, dict[str, str], int]] = field(default_factory=list)


class Group(NamedTuple):
    """
    Sources that have the same cells of a family in the same places, as most have that run the same app.

    Their cells are added column by column, which is five times as fast as one by one.
    """

    indexes: list[int]  # of the sources
    pick: Callable[[Sequence[float]], Iterable[float]]
    places: list[int]


@dataclass(slots=True)
class Plan:
    """How the cells of all sources come together in the samples of one family."""

    signature: list[int]
    is_fresh_for: object  # the reading for which the signature was last looked at
    family: Family
    left_out: int  # sources whose idea of this metric is another
    places: dict[tuple[str, tuple[str, ...]], int] = field(default_factory=dict)
    children: dict[tuple[str, ...], Child] = field(default_factory=dict)
    # By source: its cells, and the places that they are added to.
    cells: list[tuple[int, list[int], list[int]]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)  # the same again, to be added up
    # By source: cells of removals.
    removals: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)  # by place, in a base that tells them apart


def make_plan(
    name: str, signature: list[int], sources: Sequence[Source], decoded: Sequence[DecodedKeys]
) -> Plan:
    holders = [index for index, each in enumerate(decoded) if name in each.by_name]
    youngest = max(holders, key=lambda index: (sources[index].is_live, sources[index].rank))
    family = decoded[youngest].by_name[name][-1][1].family
    shape = (family.kind, family.mode, family.label_names)
    plan = Plan(signature=signature, is_fresh_for=None, family=family, left_out=0)
    for index in holders:
        cells: list[int] = []
        places: list[int] = []
        is_other = False
        for cell, key in decoded[index].by_name[name]:
            if (key.family.kind, key.family.mode, key.family.label_names) != shape:
                is_other = True
            elif key.suffix == REMOVED:
                plan.removals.append((index, cell, key.child))
            else:
                cells.append(cell)
                places.append(_place(plan, key))
        plan.left_out += is_other
        plan.cells.append((index, cells, places))
    plan.groups = _groups(plan.cells)
    for child in plan.children.values():
        child.bounds.sort(key=lambda bound: bound[0])
    return plan


def _groups(cells_by_source: Iterable[tuple[int, list[int], list[int]]]) -> list[Group]:
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], Group] = {}
    for index, cells, places in cells_by_source:
        if not cells:
            continue
        layout = (tuple(cells), tuple(places))
        group = groups.get(layout)
        if group is None:
            group = groups[layout] = Group([], _picker(cells), places)
        group.indexes.append(index)
    return list(groups.values())


def _picker(cells: list[int]) -> Callable[[Sequence[float]], Iterable[float]]:
    if cells[-1] - cells[0] == len(cells) - 1:
        return itemgetter(slice(cells[0], cells[-1] + 1))
    return itemgetter(*cells)


def _place(plan: Plan, key: Key) -> int:
    known = (f"{key.suffix}@{key.worker}" if key.worker else key.suffix, key.values)
    place = plan.places.get(known)
    if place is not None:
        return place
    place = plan.places[known] = len(plan.places)
    plan.workers.append(key.worker)
    family = plan.family
    child = plan.children.get(key.child)
    if child is None:
        child = plan.children[key.child] = Child(dict(zip(family.label_names, key.child, strict=True)))
    if key.suffix == "_bucket" and family.kind == "histogram":
        try:
            bound = float(key.values[-1])
        except ValueError:
            return place
        child.bounds.append((bound, {**child.labels, "le": key.values[-1]}, place))
    elif family.kind == "info":
        child.places.append((key.suffix, _info_labels(child.labels, key), place))
    else:
        child.places.append((key.suffix, child.labels, place))
    return place


def _info_labels(labels: dict[str, str], key: Key) -> dict[str, str]:
    try:
        return labels | msgspec.json.decode(key.values[-1], type=dict[str, str])
    except msgspec.MsgspecError:
        return labels
