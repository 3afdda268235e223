"""The access log: a line for each request, written where no request waits for it."""
