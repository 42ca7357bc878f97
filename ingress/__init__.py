"""Everything that enters over HTTP: verify, normalise, publish."""
