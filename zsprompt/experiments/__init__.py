"""Many runs: one description of a run, ablations, protocols, few-shot series, reproductions."""
