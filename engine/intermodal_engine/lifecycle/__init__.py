"""What happens to a job or an endpoint between its request and its end."""
