"""Files that are served without an app: the `files:` routes."""
