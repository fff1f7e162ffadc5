"""What a resource wants of Pulsar: the admin API's client, what it saw, and the pure difference."""
