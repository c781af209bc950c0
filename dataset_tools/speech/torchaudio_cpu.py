"""torchaudio beside a CPU build of torch, for the package TTS, which imports it.

torchaudio's newest wheels have a compiled extension that is linked against CUDA. TTS needs none of it. The repair is
made only when the plain import fails; `dataset_tools.core.torch_compat` has the same one for the features, as neither package may import
the other.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def import_torchaudio() -> ModuleType:
    """Imports torchaudio, without its extension if that cannot be loaded.

    Raises:
        ImportError: it is not installed.
        OSError: it fails for another reason than its extension.
    """
    try:
        return importlib.import_module("torchaudio")
    except OSError:  # libc10_cuda.so: cannot open shared object file
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        extension: Any = ModuleType("torchaudio._extension")
        extension._IS_TORCHAUDIO_EXT_AVAILABLE = False
        extension._IS_ALIGN_AVAILABLE = False
        extension._check_cuda_version = lambda: None
        extension.fail_if_no_align = lambda function: function
        sys.modules["torchaudio._extension"] = extension
        return importlib.import_module("torchaudio")
