"""What is computed: map definitions as weights over energies, and the few maps that are not linear."""
