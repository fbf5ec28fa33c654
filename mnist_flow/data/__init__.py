"""Images: where they come from, how they are split, and what is done to them before a network sees them."""
