"""
`penstock top`: a running server in a terminal, live.

    answers.py    what the control socket told, into records; nothing is trusted to be there
    reading.py    those records
    rates.py      two readings into rates
    head.py, workers.py, listeners.py, upstreams.py, requests.py
                  the parts of a frame, written with table.py, cells.py, figures.py and text.py
    frame.py      the parts into as many lines as the terminal has
    options.py    what the keys change
    watcher.py    asks, in a thread of its own, with deadlines
    screen.py     curses: puts lines on the terminal, and takes keys
    show.py       the command

All but the last three are pure.
"""
