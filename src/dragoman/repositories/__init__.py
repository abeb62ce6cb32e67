"""The neighbour git: trusted repositories, private workspaces, branches, pushes."""
