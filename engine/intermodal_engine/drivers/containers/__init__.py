"""What the docker driver knows of containers. Only `driver` and `follower` have effects."""
