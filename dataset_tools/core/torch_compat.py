"""Compatibility of torchaudio and pytorchvideo with a CPU build of torch.

Their newest wheels are linked against CUDA, or against a torchvision that is: with a CPU build of torch the import
fails, although only their pure-Python parts are used here. The workarounds below are applied only if the plain import
fails, so that a machine with CUDA uses the unmodified libraries.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import warnings
from types import ModuleType
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.extras import reinstall_command

_MOST_OPERATORS = 8
_OPERATORS: list[Any] = []


def torchaudio() -> ModuleType:
    """Imports torchaudio: transforms, functional and compliance. Its load and save must not be used.

    Raises:
        InputError: it is not installed, or fails for a reason other than its compiled extension.
    """
    try:
        return importlib.import_module("torchaudio")
    except ImportError as error:
        raise _unusable("torchaudio", error) from error
    except OSError:  # libc10_cuda.so or another CUDA library is missing: the extension needs a CUDA build of torch
        pass
    for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
    sys.modules["torchaudio._extension"] = _torchaudio_without_extension()
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError) as error:
        raise _unusable("torchaudio", error) from error


def torchvision() -> ModuleType:
    """Imports torchvision, which timm and transformers need: transforms, not operators such as ``nms``.

    Raises:
        InputError: it is not installed, or fails for a reason other than its compiled operators.
    """
    for _ in range(_MOST_OPERATORS):
        try:
            return importlib.import_module("torchvision")
        except (ImportError, OSError, RuntimeError) as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise _unusable("torchvision", error) from error
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declare_operator(missing[1])
    raise _unusable("torchvision", ImportError("too many of its operators are missing"))


def pytorchvideo_resnet() -> ModuleType:
    """Imports pytorchvideo.models.hub.resnet (``i3d_r50`` and related networks).

    Raises:
        InputError: it is not installed, or fails for a reason other than torchvision.
    """
    broken = _why_torchvision_fails()
    if broken is not None:
        # pytorchvideo.models.head imports one class of torchvision, which no network here uses.
        sys.modules["torchvision"], sys.modules["torchvision.ops"] = _torchvision_stand_in(broken)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fvcore uses torch.jit.script, which torch has deprecated
            return importlib.import_module("pytorchvideo.models.hub.resnet")
    except (ImportError, OSError) as error:
        raise _unusable("pytorchvideo", error) from error
    finally:
        if broken is not None:  # other code may import torchvision and must not find the stand-in
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]


def _declare_operator(name: str) -> None:
    """Declares an operator of torchvision to torch, as its compiled library would; calling it still fails."""
    import torch

    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _OPERATORS.append(library)  # a declaration lives as long as its library


def _torchaudio_without_extension() -> ModuleType:
    module: Any = ModuleType("torchaudio._extension")
    module._IS_TORCHAUDIO_EXT_AVAILABLE = False
    module._IS_ALIGN_AVAILABLE = False
    module._check_cuda_version = lambda: None
    module.fail_if_no_align = lambda function: function
    return module  # type: ignore[no-any-return]


def _why_torchvision_fails() -> str | None:
    try:
        importlib.import_module("torchvision")
    except ImportError as error:
        return str(error)
    except (OSError, RuntimeError) as error:  # "operator torchvision::nms does not exist"
        return f"it does not match this build of torch ({error})"
    return None


def _torchvision_stand_in(broken: str) -> tuple[ModuleType, ModuleType]:
    class RoIAlign:
        def __init__(self, *_: object, **__: object) -> None:
            raise RuntimeError(f"RoIAlign needs torchvision: {broken}")

    top: Any = ModuleType("torchvision")
    ops: Any = ModuleType("torchvision.ops")
    top.ops, ops.RoIAlign = ops, RoIAlign
    return top, ops


def _unusable(library: str, error: Exception) -> InputError:
    return InputError(
        f"{library} cannot be imported: {error}",
        where=sys.executable,
        expected=f"a {library} that matches the installed torch",
        next_step=reinstall_command(library),
    )
