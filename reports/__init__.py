"""Published reports: records of real runs, and the pages that the code renders from them."""
