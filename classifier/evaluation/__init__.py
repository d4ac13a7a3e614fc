"""How well a classifier does on scenarios that it never saw, beside two baselines in the same run. Needs the train extra."""
