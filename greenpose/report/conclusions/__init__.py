"""The conclusions of a report: its first screen, the answer in sentences, what to mind, and what to do next."""
