"""The gateway: requests that are answered by other servers, and the connections to those."""
