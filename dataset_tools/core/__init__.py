"""Shared by both packages: errors, files, downloads, progress, console, seeds, workspace, ledger, execution."""
