"""What runs: the engine, the workers and performers, the follower of OpenCode, the service."""
