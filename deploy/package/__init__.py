"""Builds the Debian packages (`python -m deploy.package`): stages a tree and lets debhelper build it. Installs nothing here."""
