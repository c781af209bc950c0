"""Two towers with the adaptive mean margin of Spoken Moments, with class positives.

Described: the softmax loss of `mms` whose margin adapts: a share α of how much more similar the positive is than the
negatives are on average (Monfort et al. 2021). Reckoned: α = .5; FMN's features, its Bi-LSTM trained end to end, FMN's
sizes, batch and augmentation. Could not be known: whether the gradient flows through the margin; here it does not.
With class positives: every item of one class is a positive of the others and none a negative, which is what the task
asks for and what FMN is told, too. The published form stands beside it, under the name without ``_classes``.
"""

from dataclasses import replace
from functools import partial

from fmn.models.baselines import amm

SYSTEM = replace(
    amm.SYSTEM,
    name="amm_classes",
    summary="two towers, adaptive mean margin (Spoken Moments), with class positives",
    build=partial(amm.build, class_positives=True),
)
