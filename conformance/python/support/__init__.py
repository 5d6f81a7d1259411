"""What the suites share: the SDK under test, bounded waiting, and the result log."""
