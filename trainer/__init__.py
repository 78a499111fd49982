"""The workstation: pictures, prepared chips, Siamese training, evaluation and reports."""
