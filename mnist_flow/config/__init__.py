"""What the files under conf/ may say: types, ranges and presets."""
