"""Raw files for the demos: MovieLens 100K is fetched, scenarios are simulated, others are brought by the user."""
