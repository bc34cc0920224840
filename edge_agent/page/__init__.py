"""The page for a telephone that the gateway itself serves: everything of the installation desk (docs/adr/0089)."""
