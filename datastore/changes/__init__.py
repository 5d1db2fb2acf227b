"""Changing a store: each change makes one new version, or leaves the store as it was."""
