"""How the daemon hears of changes in folders, and looks at them before they are committed.

Whatever is heard is a hint; what has changed is what a commit finds. So a hint too many costs a look, and what nobody
told is found by the next look that is made in any case.
"""
