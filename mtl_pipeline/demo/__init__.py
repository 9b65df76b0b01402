"""Raw files for the demos: MovieLens is fetched, the other pipelines are simulated."""
