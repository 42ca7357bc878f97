"""Everything that talks to a provider's API and decides what changes."""
