"""
Responses as bytes: is all of one there?
"""


def is_whole(received: bytes) -> bool:
    """Tell whether a response is all there."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    lowered = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lowered:
        return body.endswith(b"0\r\n\r\n")
    _, found, rest = lowered.partition(b"\r\ncontent-length:")
    return not found or len(body) >= int(rest.split(b"\r\n", 1)[0])
