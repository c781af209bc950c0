"""Two towers with the masked margin softmax of AVLnet, with class positives.

Described: gated projections of video and audio features, dot products, softmax over the batch in both directions with a
margin of .001 taken from the positive, items of the same video masked (Rouditchenko et al. 2021, after Ilharco et al.
2019). Reckoned: FMN's features, its Bi-LSTM trained end to end in place of AVLnet's audio network, FMN's sizes, batch
and augmentation, so that the loss and the memory are what differs. A margin this small does next to nothing.
With class positives: every item of one class is a positive of the others and none a negative, which is what the task
asks for and what FMN is told, too. The published form stands beside it, under the name without ``_classes``.
"""

from dataclasses import replace
from functools import partial

from fmn.models.baselines import mms

SYSTEM = replace(
    mms.SYSTEM,
    name="mms_classes",
    summary="two towers, masked margin softmax (AVLnet), with class positives",
    build=partial(mms.build, class_positives=True),
)
