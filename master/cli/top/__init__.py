"""
`penstock top`: a running server in a terminal, live.

    reading.py    what the control socket told, as records; nothing is trusted to be there
    rates.py      two readings into rates
    sections.py   rates and records into tables, with table.py, figures.py and text.py
    frame.py      tables into exactly as many lines as the terminal has
    watcher.py    asks, in a thread of its own, with deadlines
    screen.py     curses: puts lines on the terminal, and takes keys

All but the last two are pure.
"""
