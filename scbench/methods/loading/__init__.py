"""Stage 4, loading: methods that keep all KV and load in each later pass what its rows need (hook `Method.load`)."""
