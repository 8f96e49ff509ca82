"""timm's models, feature extractors and saved folders."""
