"""One file a scenario; a file put here takes part in the next comparison."""
