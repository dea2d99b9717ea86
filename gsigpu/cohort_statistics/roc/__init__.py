"""Areas under ROC curves, cut-offs and combined models."""
