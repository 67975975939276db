"""Methods of pose estimation beside each other, measured by one program.

Follow a method through the package: its name (``zoo``), its config at the
size to measure (``contender``), what runs again and again (``cases``), and the
measurements (``measure``, ``accuracy``), which the report takes (``report``).
"""
