"""What trainer, export and edge agree on, byte for byte. Needs numpy and OpenCV, and nothing else of this project."""
