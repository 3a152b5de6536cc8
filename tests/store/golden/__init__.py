"""Stores as released versions left them."""
