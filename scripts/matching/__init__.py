"""Tables for training and measuring the matching of columns, with their truth."""
