"""From frames and samples to features: I3D over RGB and flow, MFCC, the feature cache."""

from fmn.features.config import DEMO_AUDIO, DEMO_VIDEO, PAPER_AUDIO, PAPER_VIDEO, AudioFeatureConfig, VideoFeatureConfig
from fmn.features.extract import extract_audio, extract_video
from fmn.features.media import FeatureSet, Media

__all__ = [
    "DEMO_AUDIO",
    "DEMO_VIDEO",
    "PAPER_AUDIO",
    "PAPER_VIDEO",
    "AudioFeatureConfig",
    "FeatureSet",
    "Media",
    "VideoFeatureConfig",
    "extract_audio",
    "extract_video",
]
