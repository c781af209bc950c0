"""What both packages share: errors, files, downloads, progress, console, seeds, workspace, ledger, execution."""
