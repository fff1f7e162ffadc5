"""Which rights each mode needs: recorded from real runs, written to docs/rights.md, and tried there word by word."""
