"""
Every bound of the data plane that an operator does not set, with the sum behind it.

What an operator sets (header bytes, body bytes, timeouts) is in `LimitsSpec`.
"""

# A response is handed to the kernel until this much waits in the process; then
# `send` waits. 1024 slow clients x 64 KiB is 64 MiB a worker, which the smallest
# host can spare. Writing goes on when a quarter is left, so that the app is
# woken before the pipe runs dry.
WRITE_HIGH_WATER_BYTES = 64 * 1024
WRITE_LOW_WATER_BYTES = 16 * 1024

# Reading stops when an app has left this much of a body untaken. One read of
# the loop (256 KiB in uvloop) can come on top.
BODY_HIGH_WATER_BYTES = 64 * 1024

# How long a body may be slower than its minimum rate: TCP's slow start, a radio that wakes up, and a
# packet lost and sent again twice are over by then.
BODY_RATE_GRACE_S = 5.0

# Requests that wait because as many as allowed are at work. Each keeps a task, its headers and up to
# 64 KiB of its body: 1024 are some 4 MiB a listener and worker without bodies, 64 MiB with them, and
# more than 1024 would not get their turn within any time that a client waits.
QUEUED_REQUESTS_MAX = 1024
# How often it is logged that requests were turned away.
QUEUE_LOG_PERIOD_S = 60.0

# What a client may send ahead of its turn. Reading stops at the first byte that
# belongs to a later request, so one read of the loop (256 KiB) is the most that
# can arrive; TLS may add the records that it had already decrypted.
PIPELINE_BYTES_MAX = 512 * 1024

# An app answered without reading the body. Up to this much is read and thrown
# away, to keep the connection: a new one costs the client a round trip, which
# moves about this much over a usual link.
DISCARD_BYTES_MAX = 64 * 1024
DISCARD_S = 5.0

# Requests that wait for a WSGI thread are one for each connection at the most. Nothing of their
# bodies is read beyond what came with the head, so each is its head and at most one read of the
# loop: with 1 KiB of head and no body, 4 KiB, which is what its connection takes as well.

# A thread that waits for a client looks by itself whether all is over, should nobody have told it.
WSGI_LOOK_AGAIN_S = 30.0

# What a piece of a streamed response takes beside its bytes: with 64 KiB of them on their way
# to the loop, an app that gives single bytes can be 500 pieces ahead.
WSGI_PIECE_COST_BYTES = 128

# An open file is read in blocks of this: a hand-over to the loop, some 20 us, for each.
WSGI_FILE_BLOCK_BYTES = 128 * 1024

# How long a thread may go on while others wait, instead of Python's 5 ms: the loop is one of those others.
# With ten threads that compute, an async route beside them took 32 ms (median), and takes 9.
WSGI_SWITCH_S = 0.001

# For so long no thread has begun another request, and some wait: that is worth a line, and again later.
WSGI_BUSY_LOG_S = 60.0

# How long a worker that ends waits for its threads. Those that are idle end at once.
WSGI_END_S = 1.0
WSGI_END_POLL_S = 0.005

# Names of request headers that are remembered with what they are in an environ.
REQUEST_NAMES_MAX = 2048

# A closing connection is half-closed and read out, or the kernel would answer
# the unread bytes with a reset that can overtake our last response. A megabyte
# is more than any socket buffer that was full when we answered.
LINGER_BYTES_MAX = 1024 * 1024
LINGER_S = 2.0

# A chunk's size line with its extensions. Sixteen digits would do; nobody uses
# extensions, but they are allowed.
CHUNK_LINE_BYTES_MAX = 256
CHUNK_DIGITS_MAX = 15  # 60 bits: no sum of sizes overflows anything
# What the extensions of a body may be longer than the chunks that have them: nobody is made to
# read a gigabyte for the sake of a kilobyte.
CHUNK_EXTENSION_BYTES_MAX = 16 * 1024

# Header names that responses use are remembered with what they mean. An app
# has a few dozen; a hundred times that is 200 KiB.
RESPONSE_NAMES_MAX = 2048

# Bodies above this are written as a second buffer, not joined to the head:
# copying 64 KiB costs about as much as the second entry of a writev.
JOIN_BYTES_MAX = 64 * 1024

# The wheel: half a second is a twentieth of the shortest usual timeout, and
# 256 buckets reach past two minutes; what lies further is looked at twice.
WHEEL_TICK_S = 0.5
WHEEL_BUCKETS = 256

# A TLS handshake that is under way when its worker is to end: two round trips, with a
# packet lost and sent again after one second and after two.
HANDSHAKE_GRACE_S = 3.0

# A tick that comes this late means the loop was blocked; requests may wait
# unread in the kernel, so nobody is timed out before the loop has read.
STALL_S = 3.0

# Nineteen digits is eight exbibytes; int() of a longer string costs more than
# linear time.
CONTENT_LENGTH_DIGITS_MAX = 19

# Addresses of our own that clients connected to, kept to share one tuple: as
# many as a big host has interfaces; beyond that each connection has its own.
LOCAL_NAMES_MAX = 64

# An idle connection is put away after this; with the clock's grain, within 1 to
# 2 seconds. Putting away and waking cost some 50 us together, which one that
# speaks every two seconds can bear.
PARK_AFTER_S = 1.0

# How much of that is done in one turn of the loop: 64 x 30 us is 2 ms for the others to wait.
PARKS_PER_TURN_MAX = 64
PARKED_WAKES_PER_TURN_MAX = 64

# When so many more are parked, what they took before is given back to the kernel: at
# 1.8 KB each it is half a megabyte, for about a millisecond.
PARKED_SLIM_COUNT = 256

# A close takes some 5 us.
PARKED_CLOSES_PER_TURN_MAX = 256

# Header blocks that come again. Longer ones are rare, and hashing them in vain is
# not free. 128 blocks of 1 KiB, each of a hundred tiny headers, are 2 MiB; usually
# it is a tenth.
BLOCK_BYTES_MAX = 1024
BLOCK_COUNT_MAX = 128
BLOCK_MARKS = 1024
assert BLOCK_MARKS & (BLOCK_MARKS - 1) == 0
# Of 10,000 requests a second, 512 are then looked at in vain: a look costs some
# 4 % of a request, so all of them cost 0.2 %.
BLOCK_MISSES_MAX = 256

# What a worker writes of itself when it is asked what it is doing: a deep stack and a
# few dozen requests are 10 KiB; the rest of the file is for what faulthandler adds,
# of at most 100 threads.
STACK_FILE_BYTES = 64 * 1024
STACK_TEXT_BYTES_MAX = 32 * 1024
STACK_FRAMES_MAX = 50
STACK_THREADS_MAX = 40
STACK_REQUESTS_MAX = 32
# Of so many of them, the oldest, it is also said where they wait, in so many frames.
STACK_REQUESTS_AWAITED_MAX = 8
STACK_AWAITS_MAX = 10
STACK_PATH_CHARS_MAX = 120

# What a request may carry of a trace: W3C has 32 members of a tracestate, and 8192
# bytes of baggage; 180 members are what it once had, and opentelemetry still has.
TRACESTATE_MEMBERS_MAX = 32
BAGGAGE_BYTES_MAX = 8192
BAGGAGE_MEMBERS_MAX = 180

# Spans that wait for the collector. At 3 KB each, with the attributes of a request, they
# are 6 MB a worker, and 2 seconds of 1,000 traced requests a second.
TRACE_QUEUE_SPANS_MAX = 2048
# A span takes some 40 us to encode, in which the loop has to ask for its turn: 64 of them are
# 2.5 ms, half of what Python lets a thread go on.
TRACE_BATCH_SPANS_MAX = 64
TRACE_DELAY_S = 1.0
# Paths, user agents and messages of exceptions are cut to this.
TRACE_TEXT_CHARS_MAX = 2048
# How long a worker that ends waits for a collector that did not answer the last time.
TRACE_FLUSH_DEAD_S = 1.0
# And how long for any, if the drain took all the time that it had.
TRACE_FLUSH_LATE_S = 0.5
# How often lost spans are logged.
TRACE_LOG_PERIOD_S = 60.0

# The access log. Until its line is written a request is a tuple and its headers, about a
# kilobyte: 4 MiB a worker while nobody takes lines, or 0.4 s of 10,000 requests a second.
ACCESS_ENTRIES_MAX = 4096
# Their lines are made when there are so many, while what they are made of is in the processor's
# cache: some 3 us each, so 0.1 ms for requests to wait. Half as many would be no cheaper.
ACCESS_LINES_PER_TURN = 32
# How often lines are handed over to be written, however few there are.
ACCESS_PERIOD_S = 0.1
# What waits for a slow disk or reader, as bytes: 8,000 lines.
ACCESS_UNWRITTEN_BYTES_MAX = 1024 * 1024
ACCESS_BLOCK_BYTES = 64 * 1024
# What a kernel writes to a pipe in one go or not at all (PIPE_BUF on Linux), and so the
# longest line: lines of several workers never mix.
ACCESS_LINE_BYTES_MAX = 4096
# Of one header, path or query. Three of them in JSON are 3 KiB.
ACCESS_FIELD_BYTES_MAX = 1024
# How long a worker that ends waits for its lines to be written.
ACCESS_CLOSE_S = 2.0
# A failing disk is not told of with every line.
ACCESS_COMPLAINT_S = 60.0

# Trailers of a response, and the links of an early hint: as much as clients and proxies take in a
# head (8 KiB is nginx's buffer for one), and they take these less kindly.
TRAILER_BYTES_MAX = 8 * 1024
EARLY_HINT_BYTES_MAX = 8 * 1024

# Compression. Longer values of Accept-Encoding are not looked at: browsers send 30 bytes, and each
# member of a list takes half a microsecond to judge.
ACCEPT_ENCODING_BYTES_MAX = 1024
# Values of Accept-Encoding and Content-Type whose meaning is remembered: a few dozen are in use, and
# 256 of a kilobyte are 256 KiB a route.
NEGOTIATIONS_MAX = 256
# What an app has sent is not kept back longer than this: nobody sees it, and rows that an app makes
# one after the other, each in some 100 us, are compressed fifty at a time.
COMPRESSION_FLUSH_S = 0.005
# What may take longer than this is compressed in a thread: a hop there and back takes about a tenth
# of it, and others wait no longer than for a usual app.
COMPRESSION_INLINE_US = 1000
# A worker has one core. The second thread is for the body that came while a large one is at work.
COMPRESSION_THREADS = 2
# The coders of streams under way: some 220 of gzip, 75 of brotli and 50 of Zstandard, at the usual
# levels. A stream that finds no room is sent as it is.
COMPRESSION_STREAM_BYTES_MAX = 64 * 1024 * 1024
# Files are sent in turns of so much, so that others get theirs: a megabyte out of the page cache
# is some 60 us, four plain requests. nginx has twice as much.
POUR_BYTES_PER_TURN = 1024 * 1024
# Under TLS a piece is read, encrypted and waits as long as the client takes: see WRITE_HIGH_WATER_BYTES.
POUR_PIECE_BYTES = 128 * 1024
# Files as small as this are one write with their head; more would not be joined to it.
FILE_WHOLE_BYTES_MAX = JOIN_BYTES_MAX

# Threads that read cold files: enough for a disk to put requests in order, and few beside a loop.
# What waits for them is at most one stretch for each connection.
DISK_THREADS_MAX = 4
DISK_BLOCK_BYTES = 256 * 1024
# Where the kernel cannot say what is in the page cache: for so long a stretch that was read is
# taken to be there, and so many are remembered, 2 GiB of files.
DISK_READ_S = 30.0
DISK_READS_MAX = 4096

# Files that a `files:` route keeps open, with their variants up to four descriptors each: half of what
# a process may have open without being asked (1024). Those not asked for in a while are let go.
FILES_OPEN_MAX = 128
FILES_IDLE_S = 10.0

# Ranges of one request. A viewer of documents asks for a dozen; beyond, the whole is less trouble.
RANGES_MAX = 16
# Request headers of which files make something: longer ones mean nothing.
FILE_HEADER_BYTES_MAX = 4096
# What anybody can cause is logged once in a while, of each kind. There are a few dozen; were there ever
# more, they would only be told again sooner.
COMPLAINT_PERIOD_S = 60.0
COMPLAINT_KINDS_MAX = 64

# Of the proxies that a request came through, so many are looked at, and of a Forwarded header so much:
# more than any chain that is meant, and some 30 us.
FORWARDED_HOPS_MAX = 32
FORWARDED_CHARS_MAX = 4096
# The PROXY protocol. What load balancers tell beside the addresses takes a few hundred bytes, a client's
# certificate 2 KiB; nginx takes as much as this.
PROXY_HEADER_BYTES_MAX = 4096
# Connections of trusted proxies whose header has not come: each has a descriptor and some 600 bytes. A proxy
# sends it with the first packet, so at 1000 new ones a second and 100 ms of network a hundred wait.
PROXY_WAITING_MAX = 1024
# Accepting and reading one header takes some 40 us: 64 of them are 2.5 ms for the others to wait.
PROXY_ACCEPTS_PER_TURN_MAX = 64
# Out of descriptors: some may be there again after this.
PROXY_ACCEPT_AGAIN_S = 1.0

# WebSockets. Messages that wait for the app count as a body that does: then nothing more is
# read. A message may come on top, as large as the operator allows, and a read of the loop.
WEBSOCKET_QUEUE_BYTES_MAX = BODY_HIGH_WATER_BYTES
# Frames that are read in one turn of the loop: of the dearest, empty pings, 64 take 0.5 ms. One
# read of 256 KiB has room for 43,000 of them.
WEBSOCKET_FRAMES_PER_TURN_MAX = 64
# How long a client may take to answer our close: a round trip, with packets lost and sent again.
WEBSOCKET_CLOSE_S = 5.0
# Compression of a connection: a window of 4 KiB and a hash of as much again take 32 KiB to
# compress and 11 KiB to decompress; the largest take 256 and 39, for a tenth less to send. A
# client that cannot be told the window's size has 32 KiB for it, on our side too.
WEBSOCKET_WINDOW_BITS = 12
WEBSOCKET_DEFLATE_MEMORY = 5
# A text of 700 bytes takes 13 us, and 20 us with zlib's usual level, which makes it a tenth shorter.
WEBSOCKET_DEFLATE_LEVEL = 3
# Shorter messages are sent as they are: they fit into a packet either way, and to compress 256
# bytes takes as long as everything else about them.
WEBSOCKET_DEFLATE_BYTES_MIN = 256
# The head of an upstream's response: four times what a client may send, since cookies are set there.
UPSTREAM_HEAD_BYTES_MAX = 64 * 1024
# Its headers: five times what a client may send, by default. More take the loop a millisecond to pass on.
UPSTREAM_HEADERS_MAX = 500
# What a server has said before it broke the connection off, and lies in the kernel: an answer to a
# request that it did not read, which is an error page.
UPSTREAM_LAST_WORDS_BYTES_MAX = 64 * 1024
# What may not be sent twice goes out on a connection that was idle for no longer than this, or on a new one:
# a server may close an idle one at the moment that it is used, gunicorn after two seconds.
UNREPEATABLE_IDLE_S = 1.5
# Interim responses before the one that counts: a 103 or two, and whoever sends more has no end in mind.
UPSTREAM_INTERIMS_MAX = 16
# Heads of responses that come again, per server: a Date makes them new each second, so few are of
# use for long.
UPSTREAM_KNOWN_BYTES_MAX = 1024
UPSTREAM_KNOWN_COUNT_MAX = 64
# What of a request's body is kept so that it can be sent to another server: 1024 uploads at once are
# 64 MiB a worker. A longer body goes out once.
UPSTREAM_REPLAY_BYTES_MAX = 64 * 1024
# Retries are counted against the requests of so many seconds, as clients' own are, which are rarely
# further apart; and so many are free: one a server of a small group that is restarted.
RETRY_BUDGET_S = 10.0
RETRY_BUDGET_COUNT_MIN = 3
# How often a worker asks for one more of what all workers share: twice it may meet another that asks.
QUOTA_TRIES = 3
# How often workers that share a limit look who needs what: a tenth of the time that requests wait.
SHARE_TICK_S = 0.1
# How long a request waits for a server that it tries, once it has it all: that server was put out, so
# one client is delayed by so much, and not by the whole timeout.
TRIAL_S = 3.0
# A server that is due is tried by a request that can be sent elsewhere; after so long without one, by any.
TRIAL_PATIENCE_S = 10.0
# The clock of an upstream with short timeouts: a tenth of the shortest, and a hundred turns a second
# are 0.1 % of a core.
UPSTREAM_TICK_S_MIN = 0.01
# For so many clients it is remembered what a block of headers becomes on its way to a server.
UPSTREAM_MEMO_COUNT_MAX = 64
# A round of weighted servers that is worked out beforehand: for 100 servers that takes 5 ms, and a
# list of it 8 KiB. Weights that need a longer one are mixed as requests come.
BALANCE_ROUND_MAX = 1024
# How long it takes until little of a slow response is left in what is kept of a server's times: after
# three times as long a twentieth. Short of a minute, so that one pause for garbage is forgiven in time.
LATENCY_DECAY_S = 3.0
# Slots of a hash table: a prime, 164 for each of 100 servers, so that a share is exact within 0.6 %
# (maglev) or 8 % (rendezvous; of 10 servers 2.3 %). 64 KiB, and as much again for each server's lots.
HASH_TABLE_SIZE = 16_381
# How often a key is hashed again: with half of the servers down, one in 2^64 keys needs more.
HASH_PROBES_MAX = 64
# Servers that one name may stand for, the first by address: each is a pool in each worker, some KiB
# with a few connections, and a check every few seconds.
FOUND_SERVERS_MAX = 256
# Health checks that are under way at once, on the whole machine; the others wait for their turn. At
# 64, servers that all take the usual 2 s to time out are asked 32 a second, 160 of them on time.
HEALTH_CHECKS_MAX = 64
# Of an answer to a health check only the head counts; so much of the rest is read, to end in peace.
HEALTH_ANSWER_BYTES_MAX = 64 * 1024
# Until something is known of a server it is asked this often, or as often as is configured.
HEALTH_FIRST_S = 1.0
# Names that are looked up at once: each holds a socket or two.
LOOKUPS_MAX = 16
# Targets of one SRV record set whose addresses are looked up.
LOOKUP_TARGETS_MAX = 64
# After a failure a name is looked up again after a second, then two, up to this.
LOOKUP_PAUSE_S_MAX = 30.0
# How often it is seen whether /etc/hosts, which has no times to live, knows a name.
HOSTS_AGAIN_S = 10.0
# Some lists of what is not to be reached have a million lines; nobody balances over those.
HOSTS_BYTES_MAX = 4 * 1024 * 1024
# A request that has come by so often goes in circles. Chains of so many are not built on purpose, and with
# twenty milliseconds a turn it is found out in a fifth of a second.
VIA_TURNS_MAX = 10
# A tunnel of which one end has said all: how long nothing may come from the other. Who is only waiting for
# the rest of a download has it coming; who has vanished would be kept for an hour.
TUNNEL_HALF_CLOSED_S = 60.0
# Over how long tunnels are cut at the end of a drain, and how long before the end: those who come back are
# not to be a burst, and to be gone before all that is left is cut at once.
TUNNEL_SPREAD_S = 2.0
TUNNEL_MARGIN_S = 0.5
# The rest of a body goes past Python from here on: pipe and descriptors cost some 20 us, and save 0.2 us a
# KiB.
SLUICE_BYTES_MIN = 512 * 1024
# As much as a read of the loop. A user without privileges may have 64 MiB in pipes
# (fs.pipe-user-pages-soft), so four workers with 64 each can have theirs; who comes later goes the way of
# short bodies.
SLUICE_PIPE_BYTES = 256 * 1024
SLUICES_MAX = 64
# 1 MiB out of one socket into another is some 0.4 ms for the others to wait.
SLUICE_BYTES_PER_TURN = 1024 * 1024
# What may lie in this process between one client and its server, each way: what is written and not taken,
# with one read of the loop (256 KiB) on top. 1,000 clients that take nothing are 312 MiB at the most; the
# kernel has its own buffers beside.
PASSAGE_BYTES_MAX = WRITE_HIGH_WATER_BYTES + 256 * 1024

# Hosts whose table of routes is remembered by the header as it came: a hundred bytes each, 100 KiB. Clients
# may send any, and when there are so many, those in use are back after a request each.
HOSTS_SEEN_MAX = 1024
# Prefixes with a first part of their own that are tried one after the other: at 60 ns each, looking for
# the part (200 ns) pays from four on.
ROUTE_SCAN_MAX = 4
# What the tables of routes may take to make: a test of a path each, 0.2 us, so half a second at the start.
# Beyond (some 1,500 exact paths on one host) rules are tried one after the other.
ROUTE_INDEX_STEPS_MAX = 2_500_000
