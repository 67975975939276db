"""Programs that measure: one file per experiment, what they share in ``lib``,
configs that only they need in ``configs``. No part of the package."""
