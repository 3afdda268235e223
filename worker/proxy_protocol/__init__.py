"""The PROXY protocol: who a connection is from, told in front of its first byte."""
