"""
The two small state machines of a connection, as plain ints: they are compared
on every request, and an enum member costs a look-up more each time.
"""

# Intake: what the next byte from the client is.
IDLE = 0  # the first of a request
HEAD = 1  # in a head that is not complete
BODY = 2  # in the body of the exchange, which may be answered already
HELD = 3  # of a later request, whose turn has not come
LINGER = 4  # of no interest: the last response is out, and so is our FIN
CLOSING = 5  # not read any more; output may still wait for the client

# Response: how far it is.
WAITING = 0  # the app has said nothing
STARTED = 1  # it gave status and headers; they wait for the first of the body
STREAMING = 2  # the head is out
DONE = 3  # all is out
LOST = 4  # nothing more can be: the client is gone, or was refused
