"""Stage 3, retrieval: methods that reuse KV that was encoded for another prompt (hook `Method.assemble`)."""
