"""Configuration, parameters, plan, execution, provenance, expected results, benchmarks."""
