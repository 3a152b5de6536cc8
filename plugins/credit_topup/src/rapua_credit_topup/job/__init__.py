"""The job: its flow, one batch of it, its pace and its counts."""
