"""Bringing public data sets in: resumable, verified downloads with licence and citation."""
