"""What the experiments share: methods and their cases, turns, peak memory,
costs, trainings, results and charts."""
