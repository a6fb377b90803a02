"""Trains the bundled token classifier, which stands in for LLMLingua-2's at mini scale."""
