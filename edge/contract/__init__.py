"""What trainer, export and edge must agree on, byte for byte. Imports numpy and OpenCV, and no other package of this project."""
