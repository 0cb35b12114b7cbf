"""What the supervisor starts and needs: building, reloading, readiness, secrets."""
