"""I3D ResNet-50 of pytorchvideo as a backbone for RGB clips (the paper uses Inception-v1)."""

from __future__ import annotations

from torch import Tensor, nn

from dataset_tools.core import torch_compat

# Input normalization according to pytorchvideo's model zoo: values in [0, 1], minus MEAN, divided by STD.
MEAN, STD = 0.45, 0.225


class I3DResNet50(nn.Module):
    """The network of pytorchvideo without its head; parameters have pytorchvideo's names (``blocks.0.conv.weight``).

    Raises:
        InputError: pytorchvideo cannot be imported.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = torch_compat.pytorchvideo_resnet().i3d_r50(pretrained=False).blocks[:-1]

    def features(self, x: Tensor) -> Tensor:
        """[B, 3, T, H, W] -> [B, 2048]: global average pooling of the last block."""
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=(2, 3, 4))
