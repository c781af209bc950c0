"""From frames and samples to features: I3D over RGB and flow, MFCC, the feature cache."""
