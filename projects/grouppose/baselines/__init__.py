"""Methods of others that Group Pose is measured beside, where MMPose's own
configs of them do not run."""
from .edpose import EDPoseInferenceHead

__all__ = ['EDPoseInferenceHead']
