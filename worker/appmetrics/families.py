"""
Families that were read from shared memory, in the shape in which prometheus_client exposes them.
"""

from typing import Any

from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar, Sample

from penstock.shm.readings import FamilyReading


def to_metric(reading: FamilyReading, into: Any = None) -> Any:
    """Make a family as prometheus_client exposes it."""
    family = reading.family
    metric = into if into is not None else Metric(family.name, family.help, family.kind)
    metric.samples.extend(
        Sample(
            sample.name,
            sample.labels.copy(),
            sample.value,
            None,
            Exemplar(sample.exemplar.labels, sample.exemplar.value, sample.exemplar.timestamp or None)
            if sample.exemplar
            else None,
        )
        for sample in reading.samples
    )
    return metric
