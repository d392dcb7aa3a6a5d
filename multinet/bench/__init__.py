"""The benchmark: multinet against the bare kernel and against the reference plugins, side by side in one run.

Machines are noisy, so that only ratios of one run count: every figure of ours stands beside the others' that
was taken a few milliseconds earlier or later, by the same driver, in the same throw-away "host".
"""
