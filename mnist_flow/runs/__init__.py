"""The story of one run: what it trains, what it logs, and how it is repeated or delivered later."""
