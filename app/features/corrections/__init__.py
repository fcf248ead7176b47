"""Corrections: rejected rows, fixed and run again in their job."""
