"""The neighbour Linear: verified deliveries in, activities and updates out."""
