"""FMN with every equation as the paper prints it, also those that cannot do what its text says (docs/paper.md).

The linear softmax head, S1/Max, memories of raw features with a fixed share of each update, written batch by batch, the
maximum without a clamp, the triplet loss with the printed sign. The same network and training as FMN otherwise.
"""

from __future__ import annotations

from fmn.config import as_published
from fmn.models.fmn import FeatureMemoryNetwork, slot_cross_entropy
from fmn.models.system_interface import System

SYSTEM = System(
    name="fmn_printed",
    summary="FMN with every equation as printed",
    build=FeatureMemoryNetwork,
    adapt=as_published,
    class_cross_entropy=slot_cross_entropy,
    footnote=lambda config: "equations as printed, some of which cannot work: docs/paper.md",
)
