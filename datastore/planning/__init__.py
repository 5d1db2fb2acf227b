"""What a store of a given size will be and cost, before it is built."""
