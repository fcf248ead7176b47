"""Watches: each new or changed object of a bucket or folder becomes a job."""
