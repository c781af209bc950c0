"""People's decisions, through Label Studio."""
