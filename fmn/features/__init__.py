"""Features: I3D over RGB and optical flow, MFCC, pretrained encoders, feature cache."""
