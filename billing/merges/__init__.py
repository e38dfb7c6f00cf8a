"""Two customers who are one person: the points of one go to the other, and back if it was wrong."""
