"""The limits of one client: calls in a time, concurrent calls, and the minimum rate of its bodies."""
