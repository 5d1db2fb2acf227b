"""How well an index finds what an exact scan finds: measured when it is built, kept beside it."""
