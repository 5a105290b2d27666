"""Experiments: the description of a run, ablations, protocols, few-shot series and reproductions."""
