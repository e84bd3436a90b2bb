"""The daemon's HTTP API: one table of routes drives what is served, its OpenAPI document and docs/api.md.

Handlers decode, ask a view, and encode. Who may ask is decided before that, in `security`.
"""
