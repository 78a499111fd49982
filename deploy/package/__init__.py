"""Makes the Debian package: `python -m deploy.package`. Stages a tree, lets debhelper build it. Installs nothing here."""
