"""The classes, (action, subject, object) triplets: read, match, count, propose, write."""
