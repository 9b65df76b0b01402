"""`make run`: what is out of date is made, in runs that the UI shows, and the terminal says what happened and why."""
