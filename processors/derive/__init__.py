"""From a provider's words to items: one file per provider, pure. What an item is stands in `schemas.item`."""
