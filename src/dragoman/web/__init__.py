"""The door for browsers and webhooks."""
