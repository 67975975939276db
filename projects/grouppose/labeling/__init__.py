"""Labeling of keypoints with a model that helps: a page in the browser, and
the same help for labeling tools."""
