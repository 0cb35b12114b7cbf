"""What the supervisor starts: object building, worker loops, reload, readiness, secrets."""
