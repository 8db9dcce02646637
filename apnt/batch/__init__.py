"""A folder of photographs: which belong together, and all of them fused (``docs/batch.md``)."""
