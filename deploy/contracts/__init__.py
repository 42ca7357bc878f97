"""The published contract of `changes.*`: made from the models, compared with what was last released.

`python -m deploy.contracts write` after a change of a model, `check` before it is merged, `release` when subscribers may
rely on it. What is written lies in `schemas/published/`.
"""
